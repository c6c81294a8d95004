"""Fine-tuning: a new head for the classes of a folder, chosen layers trained, the rest frozen."""

from torchlurk.training.api import Transferred, transfer
from torchlurk.training.record import Options, Transfer, read_record
from torchlurk.training.run import fine_tune

__all__ = ["Options", "Transfer", "Transferred", "fine_tune", "read_record", "transfer"]
