"""Images by index, from a folder, a table or torchvision; decoding them, and preprocessing."""
