"""`python -m torchlurk`: the command line."""

from torchlurk.cli.main import main

main(prog_name="torchlurk")
