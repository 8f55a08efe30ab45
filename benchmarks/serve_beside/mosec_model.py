"""The same model behind mosec."""

import os
import sys

import msgspec
import numpy as np
import onnxruntime
from mosec import Server, Worker

MODEL = os.environ.setdefault("MODEL", sys.argv[1])
sys.argv = [sys.argv[0], "--port", sys.argv[2]] if len(sys.argv) > 2 else sys.argv


class Model(Worker):
    """As its documentation has it."""

    def __init__(self):
        super().__init__()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(
            MODEL, options, providers=["CPUExecutionProvider"]
        )

    def deserialize(self, data):
        return np.array(msgspec.json.decode(data)["inputs"], np.float32)

    def forward(self, rows):
        return {"labels": self.session.run(None, {"input": rows})[0].argmax(axis=1).tolist()}


if __name__ == "__main__":
    server = Server()
    server.append_worker(Model, num=1, route="/predict")
    server.run()
