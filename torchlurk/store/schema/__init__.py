"""The format of a store as types; `docs/reference/format.md` describes it, and decoding checks it.

Decoding is strict: a missing key without a default, an unknown key or a value of another type is an error
that names its place.

| module | records |
|---|---|
| `network` | `index.json` and the manifest, `network.json` |
| `filters` | `layers/<layer>.json`, `images.json`, `classes.json` |
| `circuits` | `circuits/<layer>.json`, `expanded/<layer>.json` |
| `spectrum` | `spectrum/<layer>.json` |
| `packs` | files of many pictures, which layers and images name |
| `progress` | `progress.json`, and `previews.json` of a site |
| `paths` | names of files and folders |
| `base` | what all records share |

The records of a comparison are in `torchlurk.store.comparison`.
"""

from typing import TYPE_CHECKING

from torchlurk.runtime.deprecation import former_names
from torchlurk.store.schema.base import (
    FORMAT,
    Digest,
    Format,
    Fraction,
    NonNegativeInt,
    PositiveInt,
    Record,
    Relative,
    round_float32,
)
from torchlurk.store.schema.circuits import (
    CircuitFile,
    CircuitImages,
    Consumer,
    Contributor,
    ExpandedFile,
    ExpandedKernel,
    ExpandedWeights,
    FilterCircuit,
    KernelLetters,
    UpstreamLayer,
)
from torchlurk.store.schema.filters import (
    Ascent,
    AvgEntry,
    Classes,
    ClassProfile,
    Filter,
    ImageEntries,
    ImageEntry,
    ImagesFile,
    LayerFile,
    MaxEntry,
    Stats,
    referenced_images,
)
from torchlurk.store.schema.network import (
    STAGES,
    Config,
    Dataset,
    Index,
    InputRecord,
    LayerRecord,
    Manifest,
    ModelRecord,
    NetworkEntry,
    ReceptiveField,
    SkippedFile,
    SkippedLayerRecord,
    Stage,
    Stages,
    Tile,
    Tiles,
)
from torchlurk.store.schema.packs import LayerPacks, Pack
from torchlurk.store.schema.paths import (
    CHECKSUMS,
    CIRCUITS,
    EXPANDED,
    IMAGES,
    LONGEST,
    PICTURE_KINDS,
    PICTURES,
    SPECTRA,
    THUMB_KINDS,
    THUMBS,
    circuit_path,
    expanded_path,
    image_path,
    layer_path,
    picture_path,
    safe_name,
    spectrum_path,
)
from torchlurk.store.schema.progress import PROGRESS, Preview, Previews, PreviewThumb, Progress
from torchlurk.store.schema.spectrum import SpectrumEntry, SpectrumFile

__all__ = [
    "CHECKSUMS",
    "CIRCUITS",
    "EXPANDED",
    "FORMAT",
    "IMAGES",
    "LONGEST",
    "PICTURES",
    "PICTURE_KINDS",
    "PROGRESS",
    "SPECTRA",
    "STAGES",
    "THUMBS",
    "THUMB_KINDS",
    "Ascent",
    "AvgEntry",
    "CircuitFile",
    "CircuitImages",
    "ClassProfile",
    "Classes",
    "Config",
    "Consumer",
    "Contributor",
    "Dataset",
    "Digest",
    "ExpandedFile",
    "ExpandedKernel",
    "ExpandedWeights",
    "Filter",
    "FilterCircuit",
    "Format",
    "Fraction",
    "ImageEntries",
    "ImageEntry",
    "ImagesFile",
    "Index",
    "InputRecord",
    "KernelLetters",
    "LayerFile",
    "LayerPacks",
    "LayerRecord",
    "Manifest",
    "MaxEntry",
    "ModelRecord",
    "NetworkEntry",
    "NonNegativeInt",
    "Pack",
    "PositiveInt",
    "Preview",
    "PreviewThumb",
    "Previews",
    "Progress",
    "ReceptiveField",
    "Record",
    "Relative",
    "SkippedFile",
    "SkippedLayerRecord",
    "SpectrumEntry",
    "SpectrumFile",
    "Stage",
    "Stages",
    "Stats",
    "Tile",
    "Tiles",
    "UpstreamLayer",
    "circuit_path",
    "expanded_path",
    "image_path",
    "layer_path",
    "picture_path",
    "referenced_images",
    "round_float32",
    "safe_name",
    "spectrum_path",
]

if not TYPE_CHECKING:
    __getattr__ = former_names(
        globals(),
        Count="NonNegativeInt",
        Images="ImageEntries",
        Input="InputRecord",
        Layer="LayerRecord",
        Model="ModelRecord",
        Profile="ClassProfile",
        SUMS="CHECKSUMS",
        Share="Fraction",
        Size="PositiveInt",
        Skipped="SkippedFile",
        SkippedLayer="SkippedLayerRecord",
        number="round_float32",
        referred="referenced_images",
    )
