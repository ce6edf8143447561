"""A model is one file: a Keras archive with the card as one more member.

Plain ``keras.saving.load_model`` opens it, with or without brats3d on the machine, and ignores the member.
"""

from __future__ import annotations

import hashlib
import io
import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from brats3d.errors import ModelError, first_line, system_error
from brats3d.files import write_file
from brats3d.models.card import Card, card_from_json
from brats3d.models.networks import ACTIVATIONS
from brats3d.models.pipeline import Model

if TYPE_CHECKING:
    import keras

CARD_MEMBER = "brats3d.json"


def save_model(path: Path | str, network: keras.Model, card: Card) -> str:
    """Write a network and its card into one ``.keras`` file, float32 and without compile state.

    It is made in memory and written whole or not at all: an earlier model is kept until then. (If memory is short, Keras
    would write HDF5 to disk, and if HDF5 runs into a full disk, the process dies.)

    Args:
        path: target; its name ends with ``.keras``.
        network: a network that ends with ``logits`` and ``probabilities``, of any precision policy. It is not changed.
        card: what the network expects and gives.

    Returns:
        The file's sha256, hexadecimal.

    Raises:
        ModelError: the file name does not end with ``.keras``, a layer is not a stock one or contains others, or network and
            card contradict each other.
        SpaceError: the disk is full.
    """
    path = Path(path)
    if path.suffix != ".keras":
        raise ModelError(f"{path}: a model's file name must end with .keras.")
    _check_layers(network, path)
    check_card(network, card, "the network to save")
    content = _Archive()
    _float32_copy(network).save(content)
    with zipfile.ZipFile(content, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(CARD_MEMBER, card.to_json())
    raw = content.getvalue()
    write_file(path, raw)
    return hashlib.sha256(raw).hexdigest()


class _Archive(io.BytesIO):
    """An archive in memory, to which Keras writes as to a file; it needs the name to know the format."""

    def __str__(self) -> str:
        return "memory.keras"


def _check_layers(network: keras.Model, path: Path) -> None:
    """Refuse layers that other machines do not have, and nested layers, whose precision would not be set here."""
    import keras

    own = [layer.name for layer in network.layers if not type(layer).__module__.startswith("keras.")]
    if own:
        raise ModelError(
            f"{path}: the network's layers {', '.join(own[:3])} are not stock Keras layers, and would not open elsewhere;"
            " copy the weights into a network of stock layers and save that."
        )
    nested = [layer.name for layer in network.layers if isinstance(layer, keras.Model | keras.layers.Wrapper)]
    if nested:
        raise ModelError(
            f"{path}: the network's layers {', '.join(nested[:3])} contain other layers; expected a flat network:"
            " apply those layers one by one and save that."
        )


def open_model(path: Path, card: Card) -> Model:
    """Open the network of a model file.

    Args:
        path: a file that `save_model` wrote.
        card: its card, as `read_card` gives it.

    Raises:
        ModelError: a damaged file, or a card that does not fit the network.
    """
    checksum = file_checksum(path)
    import keras

    try:
        network = keras.saving.load_model(path, compile=False)
    except Exception as problem:  # Keras, HDF5 and zipfile raise many kinds; all mean the same to the user
        if system_error(problem) is not None:
            if isinstance(problem, OSError) and not problem.filename:
                problem.filename = tempfile.gettempdir()  # where Keras unpacks it: the disk may be full
            raise
        raise ModelError(
            f"{path}: Keras {keras.__version__} cannot open it ({type(problem).__name__}: {first_line(problem)});"
            " the file is damaged or was made for another version: copy it again, or check the card's created_with."
        ) from problem
    check_card(network, card, str(path))
    return Model(network, card, checksum, path)


def read_card(path: Path | str) -> Card:
    """Read the card of a model file; needs no framework.

    Args:
        path: a file that `save_model` wrote.

    Raises:
        ModelError: no such file, not a Keras model, no card, a card of another schema, or a damaged file.
    """
    path = Path(path)
    if not path.is_file():
        kind = "a folder" if path.is_dir() else "no such file"
        raise ModelError(f"{path}: {kind}; expected a model, a .keras file such as RUN/best.keras.")
    if path.suffix != ".keras":
        raise ModelError(f"{path}: its name does not end with .keras; expected a model such as RUN/best.keras.")
    try:
        with zipfile.ZipFile(path) as archive:
            members = set(archive.namelist())
            if "config.json" not in members:
                raise ModelError(f"{path}: an archive without config.json; expected a Keras model such as RUN/best.keras.")
            if CARD_MEMBER not in members:
                raise ModelError(
                    f"{path}: a Keras model without a card (no member {CARD_MEMBER}), so the channels and intensities it"
                    " expects are unknown; write the card into it with brats3d.models.save_model(path, network, card)."
                )
            text = archive.read(CARD_MEMBER).decode()
    except ModelError:
        raise
    except Exception as problem:  # zipfile and its decompressors raise many kinds for a damaged archive
        if system_error(problem) is not None:
            raise  # refused by the system
        raise ModelError(
            f"{path}: not a Keras model, or a damaged one ({first_line(problem)}); expected a .keras archive: copy it again"
            " from its source."
        ) from problem
    return card_from_json(text, str(path))


def check_card(network: keras.Model, card: Card, where: str) -> None:
    """Refuse a network and a card that contradict each other.

    Args:
        network: the Keras network.
        card: its card.
        where: where they are from, for messages.

    Raises:
        ModelError: names what the network has and what the card says.
    """
    last = [layer.name for layer in network.layers[-2:]]
    if len(card.outputs) == 1 and last != ["logits", card.outputs[0].name]:
        raise ModelError(f"{where}: its last layers are {', '.join(last)}; expected logits, {card.outputs[0].name}.")
    channels, wanted = network.input_shape[-1], len(card.modalities) + len(card.inputs.derived)
    if channels != wanted:
        raise ModelError(f"{where}: its network takes {channels} channels; its card names {', '.join(card.modalities)}.")
    if len(network.outputs) != len(card.outputs):
        named = ", ".join(head.name for head in card.outputs)
        raise ModelError(f"{where}: its network has {len(network.outputs)} outputs; its card names {named}.")
    layers = {layer.name: layer for layer in network.layers}
    for output, head in zip(network.outputs, card.outputs, strict=True):
        activation = getattr(getattr(layers.get(head.name), "activation", None), "__name__", "")
        if activation in ACTIVATIONS and activation != head.activation:
            raise ModelError(
                f"{where}: its layer {head.name} has the activation {activation}; its card says {head.activation}, for"
                f" {head.kind}."
            )
        if output.shape[-1] != len(head.channels):
            raise ModelError(
                f"{where}: its network gives {output.shape[-1]} channels in {head.name}; its card names"
                f" {', '.join(head.channels)}."
            )


def file_checksum(path: Path | str) -> str:
    """Return a file's sha256, hexadecimal."""
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _float32_copy(network: keras.Model) -> keras.Model:
    """Return the network with the same weights and the float32 policy in every layer, uncompiled.

    Built from its configuration: ``keras.models.clone_model`` would carry the compile state over.
    """
    config = network.get_config()
    for layer in config["layers"]:
        layer["config"]["dtype"] = "float32"
    copy = type(network).from_config(config)
    copy.set_weights(network.get_weights())
    return copy
