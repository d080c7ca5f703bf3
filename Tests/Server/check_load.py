"""Many requests of all kinds at once: floods, departures, slow readers and writers, wrong and oversized bodies, noise.

    python check_load.py [N] [SEED] [AT_ONCE]

Nothing may crash, no sequence stay behind, no memory pass the budget, and the answers of those who behave may not differ in a bit.
With DUALITY a build under a sanitizer, what that finds ends the server and so the check; such a build is slow, and takes fewer at once.
"""

import asyncio
import json
import random
import signal
import sys
import time
import traceback

from client import SUM, server

BUDGET = 96 << 20
BODY_LIMIT = 300_000
TIMEOUT = 3
AT_ONCE = 48
PATIENCE = 240
TOOL = {"type": "function", "function": {"name": "count", "parameters": {"type": "object", "properties": {"of": {"type": "array", "items": {"enum": ["oak", "elm"]}, "maxItems": 3}}, "required": ["of"]}}}
SCHEMA = {"type": "object", "properties": {"n": {"type": "integer", "minimum": 0, "maximum": 99}, "ok": {"type": "boolean"}}, "required": ["n", "ok"]}
TEXT = "The harbour was quiet in the morning and the boats lay side by side along the wall. "


class Connection:
    """One connection, closed whatever happens."""

    def __init__(self, load):
        self.load = load

    async def __aenter__(self):
        self.reader, self.writer = await asyncio.open_connection(self.load.host, self.load.port, limit=1 << 16)
        return self

    async def __aexit__(self, *_):
        self.writer.close()
        try:
            await self.writer.wait_closed()
        except OSError:
            pass

    async def send(self, path, body, pieces=1, pause=0.0, method="POST", length=None, keep=False):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        end = "keep-alive" if keep else "close"
        head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: {end}\r\nContent-Type: application/json\r\nContent-Length: {length or len(data)}\r\n\r\n"
        data = head.encode() + data
        step = -(-len(data) // pieces)
        for start in range(0, len(data), step):
            self.writer.write(data[start : start + step])
            await self.writer.drain()
            if pause:
                await asyncio.sleep(pause)

    async def answer(self, pause=0.0, size=1 << 16):
        """Status and content, read slowly if asked."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        status = int(head.split(b" ")[1])
        fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:] if b": " in line)
        if b"content-length" in fields:
            return status, await self.reader.readexactly(int(fields[b"content-length"]))
        data = b""
        while True:
            count = int(await self.reader.readline(), 16)
            while count > 0:
                piece = await self.reader.read(min(count, size))
                if not piece:
                    raise ConnectionError("the answer broke off")
                count -= len(piece)
                data += piece
                if pause:
                    await asyncio.sleep(pause)
            await self.reader.readline()
            if count == 0 and data.endswith(b"[DONE]\n\n"):
                return status, data


class Load:
    def __init__(self, client, count, seed, at_once):
        self.host, self.port = client.place.hostname, client.place.port
        self.client, self.count, self.rng, self.at_once = client, count, random.Random(seed), at_once
        self.known, self.kinds, self.peak, self.compared, self.full = {}, {}, 0, 0, 0

    # What is asked for.

    def good(self, rng):
        """A request whose answer is a function of it, from a few hundred of them."""
        seed = rng.randrange(8)
        which = rng.randrange(7)
        if which == 0:
            return "/v1/chat/completions", {"messages": SUM, "temperature": 0, "logprobs": True}
        if which == 1:
            body = {"prompt": TEXT * 3, "max_tokens": 6, "temperature": 1, "seed": seed, "logprobs": 2, "n": 1 + seed % 3}
        elif which == 2:
            body = {"prompt": (TEXT * 8)[: 300 + 37 * seed], "max_tokens": 1, "echo": True, "logprobs": 1, "temperature": 0}
        elif which == 3:
            body = {"prompt": [[5 + k % 90 for k in range(60 + 9 * j)] for j in range(3)], "max_tokens": 3, "seed": seed, "temperature": 1}
        elif which == 4:
            body = {"prompt": "Give me one.", "max_tokens": 60, "seed": seed, "temperature": 1, "structured_outputs": {"json": SCHEMA}}
        elif which == 5:
            body = {"prompt": "one two three one two three one two", "max_tokens": 20, "temperature": 0, "frequency_penalty": seed / 8}
        else:
            return "/v1/chat/completions", {
                "messages": [{"role": "system", "content": TEXT * 4}, *SUM], "max_tokens": 12, "seed": seed, "temperature": 0.8, "top_logprobs": 2, "logprobs": True}
        return "/v1/completions", body

    @staticmethod
    def bits(data, streamed):
        """What of an answer may not differ: choices, put together if they came in pieces."""
        if not streamed:
            choices = json.loads(data)["choices"]
            return json.dumps([{k: v for k, v in c.items() if k != "stop_reason"} for c in choices])
        texts = {}
        for block in data.decode().split("\n\n"):
            if not block.startswith("data: {"):
                continue
            event = json.loads(block[6:])
            assert "error" not in event, event
            for choice in event["choices"]:
                text = texts.setdefault(choice["index"], ["", None])
                text[0] += choice["text"] if "text" in choice else choice["delta"].get("content", "")
                text[1] = choice["finish_reason"] or text[1]
        return json.dumps(sorted(texts.items()))

    def compare(self, key, value):
        self.compared += 1
        assert self.known.setdefault(key, value) == value, f"an answer differs: {key[:200]}: {value[:300]} instead of {self.known[key][:300]}"

    # The kinds of clients.

    async def asked(self, path, body, write, read):
        """The content of an answer; who is refused for want of a place comes again."""
        for _ in range(PATIENCE):
            async with Connection(self) as c:
                await c.send(path, body, **write)
                status, data = await c.answer(**read)
            if status != 429:
                assert status == 200, (status, data[:300])
                return data
            self.full += 1
            await asyncio.sleep(0.5)
        raise AssertionError("there was never a place")

    async def whole(self, rng, **slow):
        path, body = self.good(rng)
        self.compare(path + json.dumps(body), self.bits(await self.asked(path, body, slow, {}), False))

    async def stream(self, rng, **slow):
        path, body = self.good(rng)
        data = await self.asked(path, {**body, "stream": True}, {}, slow)
        self.compare(path + json.dumps(body) + " streamed", self.bits(data, True))

    async def slow_writer(self, rng):
        await self.whole(rng, pieces=rng.randrange(2, 30), pause=0.03)

    async def slow_reader(self, rng):
        await self.stream(rng, pause=0.004, size=rng.randrange(40, 400))

    async def leaves(self, rng):
        """Goes away in its request, in the queue, or in its answer."""
        body = {"prompt": TEXT * rng.randrange(1, 60), "max_tokens": 2000, "ignore_eos": True, "stream": rng.random() < 0.6, "n": rng.randrange(1, 4)}
        async with Connection(self) as c:
            data = json.dumps(body).encode()
            if rng.random() < 0.2:
                await c.send("/v1/completions", data[: rng.randrange(len(data))], length=len(data))
            else:
                await c.send("/v1/completions", data)
            await asyncio.sleep(rng.random() ** 3 * 2)
            if rng.random() < 0.3:
                c.writer.write_eof()
                await asyncio.sleep(0.05)
            elif rng.random() < 0.3:
                c.writer.transport.abort()

    async def does_not_read(self, rng):
        """Is cut off when what waits for it is too much, or leaves."""
        async with Connection(self) as c:
            await c.send("/v1/completions", {"prompt": [7] * 3000, "echo": True, "logprobs": 20, "max_tokens": 3000, "ignore_eos": True, "stream": True})
            await asyncio.sleep(rng.random() * (TIMEOUT + 1))

    async def drips(self, rng):
        async with Connection(self) as c:
            await c.send("/v1/completions", b"{", length=5000)
            task = asyncio.create_task(c.answer())
            try:
                while not task.done():
                    c.writer.write(b" ")
                    await asyncio.sleep(0.3)
            except OSError:
                pass
            assert (await task)[0] == 408

    async def too_large(self, rng):
        async with Connection(self) as c:
            try:
                if rng.random() < 0.5:
                    await c.send("/v1/completions", b" " * (BODY_LIMIT + 1))
                else:
                    c.writer.write(b"POST /tokenize HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
                    for _ in range(40):
                        c.writer.write(b"4000\r\n" + b"a" * 0x4000 + b"\r\n")
                        await c.writer.drain()
                assert (await c.answer())[0] == 413
            except (OSError, asyncio.IncompleteReadError):
                pass  # closed while it wrote

    async def wrong(self, rng):
        path, body = self.good(rng)
        name, value = rng.choice((("temperature", -1), ("n", 1000), ("max_tokens", "7"), ("seed", 1.5), ("stop", [""]), ("logit_bias", {"x": 1}), ("response_format", {"type": "sound"})))
        data = json.dumps({**body, name: value}).encode()
        async with Connection(self) as c:
            await c.send(path, data)
            status, content = await c.answer()
        assert status in (400, 404, 429), (status, content[:200], data[:200])
        assert set(json.loads(content)["error"]) == {"message", "type", "param", "code"}

    async def mutated(self, rng):
        """Bytes changed at random: an answer, a refusal, never an error of the server's."""
        path, body = self.good(rng)
        data = bytearray(json.dumps({**body, "stream": False}).encode())
        for _ in range(rng.randrange(1, 6)):
            data[rng.randrange(len(data))] = rng.choice(b'0123456789-e.,:{}[]"\\ tfn\xff')
        async with Connection(self) as c:
            await c.send(path, bytes(data))
            status, content = await asyncio.wait_for(c.answer(), 120)
        assert status in (200, 400, 404, 429), (status, content[:200], bytes(data)[:300])

    async def noise(self, rng):
        async with Connection(self) as c:
            c.writer.write(rng.choice((rng.randbytes(rng.randrange(1, 400)), b"GET / HTTP/9.9\r\n\r\n", b"\r\n" * 50, b"POST /v1/completions HTTP/1.1\r\nContent-Length: -5\r\n\r\n", b"GET /health HTTP/1.1\r\nX: " + b"a" * 70_000)))
            try:
                await asyncio.wait_for(c.reader.read(4096), 0.2)
            except (asyncio.TimeoutError, OSError):
                pass

    async def several(self, rng):
        """One connection, several requests, some of them before the answer to the last."""
        async with Connection(self) as c:
            for _ in range(3):
                await c.send("/tokenize", {"prompt": TEXT}, keep=True)
            for _ in range(3):
                status, data = await c.answer()
                assert status == 200 and json.loads(data)["count"] > 5
            await c.send("/v1/chat/completions", {"messages": SUM, "max_tokens": 3, "tools": [TOOL]}, keep=True)
            assert (await c.answer())[0] in (200, 400, 429)
            await c.send("/health", b"", method="GET", keep=False)
            assert (await c.answer())[0] == 200

    async def burst(self, rng):
        """More at once than may wait."""
        async with Connection(self) as c:
            await c.send("/v1/completions", {"prompt": ["a"] * 60, "n": 2, "max_tokens": 2})
            status, data = await c.answer()
            assert status in (200, 429), (status, data[:200])
            self.full += status == 429

    # All of it.

    async def one(self, kind, seed):
        rng = random.Random(seed)
        self.kinds[kind] = self.kinds.get(kind, 0) + 1
        try:
            await getattr(self, kind)(rng)
        except AssertionError:
            raise
        except (OSError, asyncio.IncompleteReadError) as error:
            if kind not in ("leaves", "noise", "does_not_read", "too_large", "drips"):
                raise AssertionError(f"{kind}: {type(error).__name__} {error}") from error

    async def watch(self):
        while True:
            await asyncio.sleep(1)
            text = (await asyncio.to_thread(self.client.request, "GET", "/metrics"))[2].decode()
            held = sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if 'part="live"' in line or 'part="tree"' in line)
            self.peak = max(self.peak, held)

    async def run(self):
        often = ["whole"] * 8 + ["stream"] * 8 + ["leaves"] * 8 + ["wrong"] * 4 + ["mutated"] * 3 + ["noise"] * 2
        kinds = often + ["slow_writer", "slow_reader", "too_large", "several", "burst"]
        # These wait for the time limit of the server.
        rare = {"drips": self.count // 100, "does_not_read": self.count // 50}
        jobs = [self.rng.choice(kinds) for _ in range(self.count - sum(rare.values()))]
        for kind, number in rare.items():
            jobs += [kind] * number
        self.rng.shuffle(jobs)
        gate = asyncio.Semaphore(self.at_once)

        async def within(kind, seed):
            async with gate:
                await self.one(kind, seed)

        watcher = asyncio.create_task(self.watch())
        tasks = [asyncio.create_task(within(kind, self.rng.randrange(1 << 30))) for kind in jobs]
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        watcher.cancel()
        for task in done:
            task.result()


def main():
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 400
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    at_once = int(sys.argv[3]) if len(sys.argv) > 3 else AT_ONCE
    flags = ["--max-num-seqs", "24", "--max-queue", "60", "--cache-memory", str(BUDGET), "--request-timeout", str(TIMEOUT), "--max-body-bytes", str(BODY_LIMIT), "--lookup"]
    with server(*flags) as client:
        client.request("POST", "/v1/chat/completions", {"messages": SUM})
        files = client.metric("process_open_fds")
        load = Load(client, count, seed, at_once)
        start = time.time()
        try:
            asyncio.run(load.run())
        except AssertionError as error:
            frame = traceback.extract_tb(error.__traceback__)[-1]
            print(f"FAILED  load: {error} ({frame.name}, line {frame.lineno}: {frame.line})")
            print(client.log()[-2000:])
            return 1
        seconds = time.time() - start
        client.wait_until_idle(30)
        end = time.time() + 10
        while client.metric("duality:open_connections") > 1 and time.time() < end:
            time.sleep(0.1)
        answer = client.post("/v1/chat/completions", {"messages": SUM, "temperature": 0})
        assert answer["choices"][0]["message"]["content"] == "17 + 25 = 42.", answer
        lines = client.request("GET", "/metrics")[2].decode().splitlines()
        live = [line for line in lines if 'part="live"' in line][0]
        assert live.endswith(" 0"), live
        assert client.metric("duality:open_connections") <= 1
        assert client.metric("process_open_fds") <= files + 8, (files, client.metric("process_open_fds"))
        assert load.peak <= BUDGET, load.peak
        # Half of the clients ask for something whose answer is known.
        assert load.compared >= count // 4, load.compared
        failures = [line for line in lines if line.startswith("http_requests_total") and 'status="50' in line]
        assert not failures, failures
        memory = client.metric("process_resident_memory_bytes") / (1 << 20)
        client.process.send_signal(signal.SIGTERM)
        assert client.process.wait(60) == 0, client.process.returncode
    log = client.log()
    assert "Fatal" not in log and "Sanitizer" not in log and "harbour" not in log, log[-2000:]
    print(f"ok      load ({count} clients in {seconds:.0f} s, {load.compared} answers compared with {len(load.known)}, {load.full} refused, "
          f"at most {load.peak / (1 << 20):.0f} of {BUDGET >> 20} MiB held, {memory:.0f} MiB resident at the end)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
