"""Fine-tuning: replace the head for the classes of a folder, train chosen layers, freeze the rest."""

from typing import TYPE_CHECKING

from torchlurk.runtime.deprecation import former_names
from torchlurk.training.api import Transferred, transfer
from torchlurk.training.record import TransferOptions, TransferRecord, read_transfer_record
from torchlurk.training.run import fine_tune

__all__ = [
    "TransferOptions",
    "TransferRecord",
    "Transferred",
    "fine_tune",
    "read_transfer_record",
    "transfer",
]

if not TYPE_CHECKING:
    __getattr__ = former_names(
        globals(), Options="TransferOptions", Transfer="TransferRecord", read_record="read_transfer_record"
    )
