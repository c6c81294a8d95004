"""One prepared measurement of Torchlurk on a machine with a CUDA device and without a network.

`prepare.sh` collects what such a machine lacks in a folder, `run.sh` runs all parts there. Each part is a
process with a time limit; what it has measured until then is kept.
"""
