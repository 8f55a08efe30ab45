"""A model behind uvicorn and nothing else: what an ASGI application costs at least."""

import sys

import msgspec
import numpy as np
import onnxruntime
import uvicorn

options = onnxruntime.SessionOptions()
options.intra_op_num_threads = options.inter_op_num_threads = 1
session = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])


async def app(scope, receive, send):
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    rows = np.array(msgspec.json.decode(body)["inputs"], np.float32)
    scores = session.run(None, {"input": rows})[0]
    said = msgspec.json.encode({"labels": scores.argmax(axis=1).tolist()})
    headers = [(b"content-length", str(len(said)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": said})


uvicorn.run(app, port=int(sys.argv[2]), http="httptools", lifespan="off", log_level="error")
