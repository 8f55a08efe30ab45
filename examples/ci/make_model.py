"""Trains the classifier of this example on the digits that come with scikit-learn."""

from pathlib import Path

import numpy as np
import skops.io
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split

here = Path(__file__).parent
digits = load_digits()
inputs = (digits.data / 16).astype(np.float32)
train, test = train_test_split(
    np.arange(len(inputs)), test_size=0.6, stratify=digits.target, random_state=0
)
for name, rows in (("train", train), ("test", test)):
    np.savez(here / f"{name}.npz", pixels=inputs[rows], digit=digits.target[rows])
model = LogisticRegression(max_iter=300).fit(inputs[train], digits.target[train])
skops.io.dump(model, here / "digits.skops")
print(f"accuracy {model.score(inputs[test], digits.target[test]):.3f} on {len(test)} test rows")
