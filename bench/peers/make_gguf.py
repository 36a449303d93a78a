#!/usr/bin/env python3
"""Writes a GGUF model of a given geometry with random weights, for llama-bench.

The geometry is a Hugging Face config.json. Every matrix, the embedding included, has the type asked for; norms are f32.
No tokenizer is written: llama-bench makes up its ids. Needs numpy and gguf (Debian unstable: python3-gguf).
"""

import argparse
import json
import os
import sys

import gguf
import numpy as np
from gguf.quants import quant_shape_to_byte_shape, quantize

ARCHITECTURES = {"LlamaForCausalLM": "llama", "Qwen3ForCausalLM": "qwen3"}
TYPES = {
    "bf16": (gguf.GGMLQuantizationType.BF16, gguf.LlamaFileType.MOSTLY_BF16),
    "q8_0": (gguf.GGMLQuantizationType.Q8_0, gguf.LlamaFileType.MOSTLY_Q8_0),
    "q4_0": (gguf.GGMLQuantizationType.Q4_0, gguf.LlamaFileType.MOSTLY_Q4_0),
}
# Settings that change the work of a step and that this program does not write.
REFUSED = ("attention_bias", "mlp_bias", "use_sliding_window", "use_summary_attention")
PIECE = 1 << 24  # values quantised at a time, which bounds memory


class Refusal(Exception):
    """One line: file, field, value, what was expected."""


class Geometry:
    """The fields of config.json that shape a model, checked."""

    def __init__(self, path):
        self.path = path
        try:
            with open(path, encoding="utf-8") as file:
                self.config = json.load(file)
        except (OSError, ValueError) as error:
            raise Refusal(f"{path}: {error}") from error
        if not isinstance(self.config, dict):
            raise Refusal(f"{path}: expected an object")
        self.architecture = self.read_architecture()
        self.refuse_unwritten()
        self.layers = self.count("num_hidden_layers")
        self.hidden = self.count("hidden_size")
        self.ffn = self.count("intermediate_size")
        self.heads = self.count("num_attention_heads")
        self.kv_heads = self.count("num_key_value_heads", self.heads)
        self.head_dim = self.count("head_dim", 128 if self.architecture == "qwen3" else self.hidden // self.heads)
        self.vocabulary = self.count("vocab_size")
        self.context = self.count("max_position_embeddings")
        self.theta = self.number("rope_theta", 10000.0)
        self.epsilon = self.number("rms_norm_eps", 1e-6)
        self.deviation = self.number("initializer_range", 0.02)
        self.tied = self.config.get("tie_word_embeddings", False) is True

    def read_architecture(self):
        names = self.config.get("architectures")
        if not isinstance(names, list) or len(names) != 1 or names[0] not in ARCHITECTURES:
            self.refuse("architectures", f"a list of one of {', '.join(ARCHITECTURES)}")
        return ARCHITECTURES[names[0]]

    def refuse_unwritten(self):
        for key in REFUSED:
            if self.config.get(key):
                self.refuse(key, "false: the peer has no such model, or this program does not write it")
        rope = self.config.get("rope_scaling")
        if rope is not None and (not isinstance(rope, dict) or rope.get("rope_type", rope.get("type")) != "default"):
            self.refuse("rope_scaling", "null")

    def count(self, key, fallback=None):
        value = self.config.get(key, fallback)
        if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value < 1 << 31:
            self.refuse(key, "a positive integer")
        return value

    def number(self, key, fallback):
        value = self.config.get(key, fallback)
        if not isinstance(value, (int, float)) or isinstance(value, bool) or not value > 0:
            self.refuse(key, "a positive number")
        return float(value)

    def refuse(self, key, expected):
        raise Refusal(f"{self.path}: {key}: found {json.dumps(self.config.get(key))}, expected {expected}")

    def tensors(self):
        """Name and shape (outputs, inputs) of every tensor; a norm has one dimension."""
        q, kv = self.heads * self.head_dim, self.kv_heads * self.head_dim
        yield "token_embd.weight", (self.vocabulary, self.hidden)
        for layer in range(self.layers):
            at = f"blk.{layer}."
            yield at + "attn_norm.weight", (self.hidden,)
            yield at + "attn_q.weight", (q, self.hidden)
            yield at + "attn_k.weight", (kv, self.hidden)
            yield at + "attn_v.weight", (kv, self.hidden)
            yield at + "attn_output.weight", (self.hidden, q)
            if self.architecture == "qwen3":
                yield at + "attn_q_norm.weight", (self.head_dim,)
                yield at + "attn_k_norm.weight", (self.head_dim,)
            yield at + "ffn_norm.weight", (self.hidden,)
            yield at + "ffn_gate.weight", (self.ffn, self.hidden)
            yield at + "ffn_up.weight", (self.ffn, self.hidden)
            yield at + "ffn_down.weight", (self.hidden, self.ffn)
        yield "output_norm.weight", (self.hidden,)
        if not self.tied:
            yield "output.weight", (self.vocabulary, self.hidden)


def add_fields(writer, geometry, file_type):
    writer.add_name(f"random-{geometry.architecture}")
    writer.add_file_type(file_type)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    writer.add_vocab_size(geometry.vocabulary)
    writer.add_context_length(geometry.context)
    writer.add_embedding_length(geometry.hidden)
    writer.add_block_count(geometry.layers)
    writer.add_feed_forward_length(geometry.ffn)
    writer.add_head_count(geometry.heads)
    writer.add_head_count_kv(geometry.kv_heads)
    writer.add_key_length(geometry.head_dim)
    writer.add_value_length(geometry.head_dim)
    writer.add_rope_dimension_count(geometry.head_dim)
    writer.add_rope_freq_base(geometry.theta)
    writer.add_layer_norm_rms_eps(geometry.epsilon)
    writer.add_tokenizer_model("no_vocab")


def random_matrix(shape, matrix_type, deviation, generator):
    """Bytes of a matrix of normal values, a few rows at a time."""
    rows, columns = shape
    result = np.empty(quant_shape_to_byte_shape(shape, matrix_type), dtype=np.uint8)
    step = max(1, PIECE // columns)
    for first in range(0, rows, step):
        count = min(step, rows - first)
        values = generator.standard_normal((count, columns), dtype=np.float32) * np.float32(deviation)
        result[first : first + count] = quantize(values, matrix_type).view(np.uint8).reshape(count, -1)
    return result


def write(geometry, type_name, output, seed):
    matrix_type, file_type = TYPES[type_name]
    block = gguf.GGML_QUANT_SIZES[matrix_type][0]
    tensors = list(geometry.tensors())
    for name, shape in tensors:
        if len(shape) == 2 and shape[1] % block != 0:
            raise Refusal(f"{geometry.path}: {name} has {shape[1]} inputs, {type_name} needs a multiple of {block}")
    writer = gguf.GGUFWriter(output, geometry.architecture)
    add_fields(writer, geometry, file_type)
    for name, shape in tensors:
        if len(shape) == 1:
            writer.add_tensor_info(name, shape, np.dtype(np.float32), 4 * shape[0])
        else:
            stored = quant_shape_to_byte_shape(shape, matrix_type)
            writer.add_tensor_info(name, stored, np.dtype(np.uint8), stored[0] * stored[1], raw_dtype=matrix_type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for index, (name, shape) in enumerate(tensors):
        if len(shape) == 1:
            writer.write_tensor_data(np.ones(shape, dtype=np.float32))
        else:
            generator = np.random.default_rng([seed, index])
            writer.write_tensor_data(random_matrix(shape, matrix_type, geometry.deviation, generator))
    writer.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--geometry", required=True, metavar="CONFIG", help="a config.json, or the folder that holds one")
    parser.add_argument("--type", required=True, choices=list(TYPES), help="type of every matrix")
    parser.add_argument("-o", "--output", required=True, metavar="FILE", help="the GGUF file to write")
    parser.add_argument("--seed", type=int, default=1, help="same seed, same file (default: 1)")
    flags = parser.parse_args()
    path = flags.geometry
    if os.path.isdir(path):
        path = os.path.join(path, "config.json")
    if flags.seed < 0:
        raise Refusal(f"--seed: found {flags.seed}, expected 0 or more")
    unfinished = flags.output + ".part"
    try:
        write(Geometry(path), flags.type, unfinished, flags.seed)
        os.replace(unfinished, flags.output)
    except OSError as error:
        raise Refusal(f"{flags.output}: {error.strerror or error}") from error
    finally:
        if os.path.exists(unfinished):
            os.remove(unfinished)


if __name__ == "__main__":
    try:
        main()
    except Refusal as refusal:
        sys.exit(print(f"make_gguf: {refusal}", file=sys.stderr) or 2)
