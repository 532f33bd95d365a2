"""Event files of TensorBoard, read by its own reader."""

from __future__ import annotations

from pathlib import Path


def read(folder: Path) -> tuple[dict[str, float], dict[str, str]]:
    """The scalars and the texts of a folder of event files, by TensorBoard's reader."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.util.tensor_util import make_ndarray

    events = EventAccumulator(str(folder), size_guidance={"tensors": 0})
    events.Reload()
    scalars, texts = {}, {}
    for tag in events.Tags()["tensors"]:
        (event,) = events.Tensors(tag)
        value = make_ndarray(event.tensor_proto)
        if value.dtype.kind == "f":
            scalars[tag] = float(value)
        else:
            texts[tag] = value.ravel()[0].decode()
    return scalars, texts
