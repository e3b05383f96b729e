"""Triton's own Python client over the same rows: prints one JSON object with rows and seconds, and CPU microseconds a row.

python client.py async_infer|aio ADDRESS ROWS.f32 BATCH IN_FLIGHT WARM_SECONDS SECONDS
"""

import asyncio
import json
import queue
import resource
import sys
import time

import numpy as np

MODE, ADDRESS, FILE, BATCH, IN_FLIGHT, WARM, SECONDS = sys.argv[1:8]
BATCH, IN_FLIGHT, WARM, SECONDS = int(BATCH), int(IN_FLIGHT), float(WARM), float(SECONDS)
COLUMNS = 37
MODELS = ["xgboost_anomaly"] * 7 + ["catboost_anomaly"] * 3

matrix = np.fromfile(FILE, dtype=np.float32).reshape(-1, COLUMNS)
batches = [matrix[at : at + BATCH] for at in range(0, len(matrix) - BATCH + 1, BATCH)]


def cpu():
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def request(client, number):
    tensor = client.InferInput("input__0", [BATCH, COLUMNS], "FP32")
    tensor.set_data_from_numpy(batches[number % len(batches)])
    return {
        "model_name": MODELS[number * 7 % 10],
        "model_version": "1",
        "inputs": [tensor],
        "outputs": [client.InferRequestedOutput("output__0")],
    }


def check(result):
    scores = result.as_numpy("output__0")
    assert scores.shape == (BATCH, 1), scores.shape


def with_callbacks():
    import tritonclient.grpc as grpc

    client = grpc.InferenceServerClient(ADDRESS)
    answers = queue.Queue()
    sent = done = 0
    started, started_cpu, measured = time.perf_counter(), 0.0, None
    answered = lambda result, error: answers.put((result, error))
    while True:
        while sent - done < IN_FLIGHT:
            client.async_infer(callback=answered, **request(grpc, sent))
            sent += 1
        result, error = answers.get()
        if error:
            raise error
        check(result)
        done += 1
        now = time.perf_counter()
        if measured is None and now - started >= WARM:
            measured, started_cpu, first = now, cpu(), done
        if measured is not None and now - measured >= SECONDS:
            return done - first, now - measured, cpu() - started_cpu


async def with_asyncio():
    import tritonclient.grpc.aio as grpc

    client = grpc.InferenceServerClient(ADDRESS)
    state = {"sent": 0, "done": 0, "measured": None, "end": None}
    started = time.perf_counter()

    async def worker():
        while state["end"] is None:
            number = state["sent"]
            state["sent"] += 1
            check(await client.infer(**request(grpc, number)))
            state["done"] += 1
            now = time.perf_counter()
            if state["measured"] is None and now - started >= WARM:
                state.update(measured=now, cpu=cpu(), first=state["done"])
            elif state["measured"] is not None and now - state["measured"] >= SECONDS and state["end"] is None:
                state.update(end=now, used=cpu() - state["cpu"], batches=state["done"] - state["first"])

    await asyncio.gather(*(worker() for _ in range(IN_FLIGHT)))
    await client.close()
    return state["batches"], state["end"] - state["measured"], state["used"]


count, seconds, used = with_callbacks() if MODE == "async_infer" else asyncio.run(with_asyncio())
rows = count * BATCH
print(json.dumps({"rowsPerSecond": rows / seconds, "microsPerRow": used * 1e6 / rows}))
