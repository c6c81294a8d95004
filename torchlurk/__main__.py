"""`python -m torchlurk`: the command line."""

from torchlurk.cli import main

main(prog_name="torchlurk")
