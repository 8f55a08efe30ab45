"""Runs an ONNX file in a process of its own: `python _reload.py MODEL FEEDS OUTPUT RESULTS`.

FEEDS and RESULTS are npz files: `0/input_ids`, `0/attention_mask`, `1/input_ids` and so on give
`0`, `1` and so on. It imports nothing of surefoot, so that no state of the exporting process can
leak into the check.
"""

from __future__ import annotations

import sys

import numpy as np


def main(model: str, feeds: str, output: str, results: str) -> None:
    """Run every feed and write the output tensor of each."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    calls: dict[str, dict[str, np.ndarray]] = {}
    with np.load(feeds) as stored:
        for key in stored.files:
            call, _, name = key.partition("/")
            calls.setdefault(call, {})[name] = stored[key]
    np.savez(results, **{call: session.run([output], feed)[0] for call, feed in calls.items()})


if __name__ == "__main__":
    main(*sys.argv[1:])
