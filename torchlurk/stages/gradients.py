"""The gradients of the winning units and maps, and the certificates of the crops."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import msgspec

from torchlurk import portraits, records
from torchlurk.graph import Layer
from torchlurk.stages.job import Job, chosen, having, lacking, layer_files, replace, write_picture
from torchlurk.store import schema
from torchlurk.store.schema import Filter, Manifest
from torchlurk.store.write import write_json

CERTIFIED = 1e-3
"""The relative difference above which a crop does not explain its score."""


def run(job: Job, manifest: Manifest) -> Manifest:
    """Write the gradients that chosen filters lack; say so if a crop does not explain its score."""
    files = layer_files(job, manifest)
    todo = lacking(job, files, "gradients")
    total = 2 * sum(len(filters) for filters in todo.values())
    worst: list[tuple[float, str, int]] = []
    with job.terminal.bar("gradients", total, "filter") as advance:
        for name, filters in todo.items():
            made = _pictures(job, job.graph.layer(name), filters, advance)
            job.writers.finish()
            files[name] = replace(files[name], made)
            write_json(job.out / schema.layer_path(name), files[name])
    _certify_rest(job, files)
    for name, file in files.items():
        worst += [(e.certificate or 0.0, name, f.channel) for f in file.filters for e in f.max]
    _report(job, worst)
    return manifest


def complete(job: Job, manifest: Manifest) -> bool:
    """Whether all chosen filters have gradients, and all crops the certificates that they are to have."""
    files = layer_files(job, manifest)
    return not lacking(job, files, "gradients") and not _uncertified(job, files)


def _uncertified(job: Job, files: Mapping[str, schema.LayerFile]) -> list[str]:
    """The layers that have crops without a certificate, where all are to have one."""
    if job.config.gradients.certify != "all":
        return []
    return [
        layer
        for layer in chosen(job)
        if any(e.certificate is None for f in files[layer].filters for e in f.max)
    ]


def _pictures(
    job: Job, layer: Layer, filters: Sequence[Filter], advance: Callable[[int], object]
) -> dict[int, Filter]:
    """Write the strips of some filters of a layer; returns the filters, which now name them, by channel."""
    config = job.config.gradients
    by_channel = {entry.channel: entry for entry in filters}
    for made in portraits.unit_pictures(
        job.model, layer, filters, job.source, config.method, at_once=config.batch_size
    ):
        write_picture(job, "max_grads", layer.name, made.channel, made.whole)
        if not layer.sees_all:
            write_picture(job, "cropped_grad", layer.name, made.channel, made.cropped)
        entry = by_channel[made.channel]
        certified = [
            records.with_certificate(e, again) for e, again in zip(entry.max, made.scores, strict=True)
        ]
        entry = msgspec.structs.replace(entry, max=certified)
        made_kinds = ["max_grads"] if layer.sees_all else ["max_grads", "cropped_grad"]
        by_channel[made.channel] = having(entry, *made_kinds)
        advance(1)
    for channel, strip in portraits.map_pictures(job.model, layer, filters, job.source, config.method):
        write_picture(job, "avg_grads", layer.name, channel, strip)
        by_channel[channel] = having(by_channel[channel], "avg_grads")
        advance(1)
    return by_channel


def _certify_rest(job: Job, files: dict[str, schema.LayerFile]) -> None:
    """Certify the crops that no gradient was computed for, where all are to be certified."""
    at_once = job.config.gradients.batch_size
    layers = _uncertified(job, files)
    total = sum(len(f.max) for name in layers for f in files[name].filters)
    with job.terminal.bar("crops", total, "crop") as advance:
        for name in layers:
            # All of the layer run again, so that digits do not depend on which of them had gradients before.
            filters = files[name].filters
            by_channel = {f.channel: list(f.max) for f in filters}
            for scores in portraits.scores_of_crops(
                job.model, job.graph.layer(name), filters, job.source, at_once=at_once
            ):
                for channel, rank, again in scores:
                    entries = by_channel[channel]
                    if entries[rank].certificate is None:
                        entries[rank] = records.with_certificate(entries[rank], again)
                advance(len(scores))
            certified = {f.channel: msgspec.structs.replace(f, max=by_channel[f.channel]) for f in filters}
            files[name] = replace(files[name], certified)
            write_json(job.out / schema.layer_path(name), files[name])


def _report(job: Job, certificates: Sequence[tuple[float, str, int]]) -> None:
    beyond = sorted((one for one in certificates if one[0] > CERTIFIED), reverse=True)
    if beyond:
        difference, layer, channel = beyond[0]
        job.terminal.say(
            f"{len(beyond)} crops give a score that differs from the scan's by more than {CERTIFIED:g}, "
            f"at worst by {difference:.1e} (filter {channel} of {layer}): see the certificates in layers/"
        )
