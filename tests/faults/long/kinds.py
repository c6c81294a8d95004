"""All kinds of fault, in the order of the table. Each kind is a module in this folder and is listed here."""

from tests.faults.long import costs, images, kills, memory, names, reader, requests, space, supply
from tests.faults.long.harness import Kind

KINDS: tuple[Kind, ...] = (
    kills.KIND,
    memory.KIND,
    images.KIND,
    costs.KIND,
    space.KIND,
    names.KIND,
    requests.KIND,
    reader.KIND,
    supply.KIND,
)
