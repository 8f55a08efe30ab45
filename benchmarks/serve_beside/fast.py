"""The same model behind FastAPI, with a model of its request as its documentation has it."""

import sys

import numpy as np
import onnxruntime
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel

options = onnxruntime.SessionOptions()
options.intra_op_num_threads = options.inter_op_num_threads = 1
session = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
app = FastAPI()


class Rows(BaseModel):
    """Of a request."""

    inputs: list[list[float]]


@app.post("/predict")
async def predict(rows: Rows):
    """Answer."""
    scores = session.run(None, {"input": np.array(rows.inputs, np.float32)})[0]
    return {"labels": scores.argmax(axis=1).tolist()}


uvicorn.run(app, port=int(sys.argv[2]), http="httptools", log_level="error")
