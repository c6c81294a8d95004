"""One pass over the images: top-k lists, statistics, shards."""
