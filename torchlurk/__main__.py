"""The command line as `python -m torchlurk`."""

from torchlurk.cli.main import main

main(prog_name="torchlurk")
