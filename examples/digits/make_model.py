"""Trains the classifier of this example on the digits that come with scikit-learn."""

from pathlib import Path

import numpy as np
import skops.io
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

here = Path(__file__).parent
digits = load_digits()
inputs = (digits.data / 16).astype(np.float32)
train, test = train_test_split(
    np.arange(len(inputs)), test_size=0.6, stratify=digits.target, random_state=0
)
for name, rows in (("train", train), ("test", test)):
    np.savez(here / f"{name}.npz", pixels=inputs[rows], digit=digits.target[rows])
model = MLPClassifier((1024, 512), early_stopping=True, random_state=0)
model.fit(inputs[train], digits.target[train])
# Only training needs it, and it is of a type that skops does not know to be safe.
del model._optimizer
skops.io.dump(model, here / "digits.skops")
accuracy = model.score(inputs[test], digits.target[test])
print(f"accuracy {accuracy:.3f} on {len(test)} test rows")
