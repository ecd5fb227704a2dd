#!/usr/bin/env python3
"""A bot: signs up or logs in, enters a room, and answers whoever says "!roll". Needs `pip install websockets`.

    SNUG_PASSWORD='a quiet harbour at dusk' examples/bot.py http://127.0.0.1:3000 dicebot general
"""

import asyncio
import json
import os
import random
import sys
import urllib.error
import urllib.request
import uuid

from websockets.asyncio.client import connect


def call(server: str, path: str, body: dict | None = None, token: str | None = None) -> dict:
    """Asks the API; a refusal is raised as HTTPError, with its problem as JSON."""
    headers = {"Content-Type": "application/json"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"{server}/api/{path}", data, headers, method="GET" if data is None else "POST")
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def token(server: str, name: str, password: str) -> str:
    """A token: of a new account, or of the one that is there."""
    new = {"email": f"{name}@bots.invalid", "username": name, "password": password}
    try:
        return call(server, "auth/register", new)["token"]
    except urllib.error.HTTPError as refused:
        if json.load(refused)["code"] not in ("taken_username", "taken_email"):
            raise
    return call(server, "auth/login", {"name": name, "password": password})["token"]


def answer(event: dict) -> str | None:
    """What to say to an event, if anything."""
    if event["text"].strip() == "!roll":
        return f"{event['user']} rolls a {random.randint(1, 6)}."
    return None


async def run(server: str, name: str, room: str, password: str) -> None:
    bearer = token(server, name, password)
    address = f"{server.replace('http', 'ws', 1)}/ws?room={room}"
    async with connect(address, additional_headers={"Authorization": f"Bearer {bearer}"}) as socket:
        async for frame in socket:
            event = json.loads(frame)
            if event["type"] == "welcome":
                print(f"# {name} is in {room}", flush=True)
            elif event["type"] == "message" and event["room"] == room and event["user"] != name:
                text = answer(event)
                if text:
                    # A line that is no JSON would do as well; with an id of our own it could be sent again.
                    message = {"type": "send", "room": room, "id": str(uuid.uuid4()), "text": text}
                    await socket.send(json.dumps(message))
            elif event["type"] == "error":
                print(f"# refused: {event['message']}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    if len(sys.argv) != 4 or "SNUG_PASSWORD" not in os.environ:
        sys.exit(__doc__)
    try:
        asyncio.run(run(*sys.argv[1:], os.environ["SNUG_PASSWORD"]))
    except KeyboardInterrupt:
        pass
