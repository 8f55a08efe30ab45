"""The same model behind LitServe."""

import sys

import litserve
import numpy as np
import onnxruntime


class Model(litserve.LitAPI):
    """As its documentation has it."""

    def setup(self, device):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(
            sys.argv[1], options, providers=["CPUExecutionProvider"]
        )

    def decode_request(self, request):
        return np.array(request["inputs"], np.float32)

    def predict(self, rows):
        return self.session.run(None, {"input": rows})[0]

    def encode_response(self, scores):
        return {"labels": scores.argmax(axis=1).tolist()}


if __name__ == "__main__":
    server = litserve.LitServer(Model(), accelerator="cpu")
    server.run(port=int(sys.argv[2]), generate_client_file=False, log_level="error")
