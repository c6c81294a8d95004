"""The gradients of the winning units and maps, and the certificates of the crops."""

from __future__ import annotations

import msgspec

from torchlurk import portraits, records
from torchlurk.stages.job import Job, first, having, layer_files, replace, write_picture
from torchlurk.store import schema
from torchlurk.store.schema import Manifest
from torchlurk.store.write import write_json

CERTIFIED = 1e-3
"""The relative difference above which a crop does not explain its score."""


def run(job: Job, manifest: Manifest) -> Manifest:
    """Write the gradients of each layer's chosen filters; say so if a crop does not explain its score."""
    config = job.config.gradients
    files = layer_files(job, manifest)
    total = sum(len(first(file, config.filters)) for file in files.values())
    worst = 0.0
    with job.terminal.bar("gradients", 2 * total, "filter") as advance:
        for layer in job.graph.layers:
            file = files[layer.name]
            chosen = first(file, config.filters)
            by_channel = {entry.channel: entry for entry in chosen}
            for made in portraits.unit_pictures(job.model, layer, chosen, job.source, config.method):
                write_picture(job, "max_grads", layer.name, made.channel, made.whole)
                write_picture(job, "cropped_grad", layer.name, made.channel, made.cropped)
                entry = by_channel[made.channel]
                certified = [
                    records.with_certificate(e, again)
                    for e, again in zip(entry.max, made.scores, strict=True)
                ]
                worst = max([worst, *(e.certificate or 0.0 for e in certified)])
                entry = msgspec.structs.replace(entry, max=certified)
                by_channel[made.channel] = having(entry, "max_grads", "cropped_grad")
                advance(1)
            for channel, strip in portraits.map_pictures(job.model, layer, chosen, job.source, config.method):
                write_picture(job, "avg_grads", layer.name, channel, strip)
                by_channel[channel] = having(by_channel[channel], "avg_grads")
                advance(1)
            write_json(job.out / schema.layer_path(layer.name), replace(file, by_channel))
    if worst > CERTIFIED:
        job.terminal.say(
            f"a crop gives a score that differs by {worst:.1e} from the scan's, which is more than "
            f"{CERTIFIED:g}: see the certificates in layers/"
        )
    return manifest
