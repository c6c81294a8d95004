"""All kinds of fault, in the order of the table. To add one, write a module beside this one and name it here."""

from tests.faults.long import reader
from tests.faults.long.harness import Kind

KINDS: tuple[Kind, ...] = (reader.KIND,)
