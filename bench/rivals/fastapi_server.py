"""FastAPI with a synchronous handler, which it runs in its own pool of threads. Run: python fastapi_server.py PORT."""

from __future__ import annotations

import sys

import uvicorn
from fastapi import FastAPI
from model import Model
from pydantic import BaseModel

app = FastAPI()
model = Model()


class Ask(BaseModel):
    """What is asked."""

    text: str


@app.post("/predict")
def predict(asked: Ask) -> dict[str, object]:
    """One text."""
    return model.predict([asked.text])[0]


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="error", access_log=False)
