#!/usr/bin/env python3
"""Prints what is said in a room, from now on. Needs `pip install websockets`.

    SNUG_TOKEN=… examples/listen.py http://127.0.0.1:3000 general

Whatever was missed while the connection was away is fetched when it is back: nothing is printed twice, and nothing is left out
(unless it is more than the server tells again, and then that is said).
"""

import asyncio
import json
import os
import sys

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed


async def listen(server: str, room: str, token: str) -> None:
    last, epoch = None, None
    address = f"{server.replace('http', 'ws', 1)}/ws?room={room}"
    # Each round is a new connection: after one has broken off, with growing pauses until there is one again.
    async for socket in connect(address, additional_headers={"Authorization": f"Bearer {token}"}):
        try:
            if last is not None:
                await socket.send(json.dumps({"type": "hello", "rooms": {room: last}, "epoch": epoch}))
            async for frame in socket:
                event = json.loads(frame)
                if event["type"] == "welcome":
                    epoch = event["epoch"]
                    if last is None:
                        last = next(state["seq"] for state in event["rooms"] if state["room"] == room)
                        print(f"# listening to {room} as {event['user']}", flush=True)
                elif event["type"] == "limited":
                    last = event["to"]
                    print("# too much was missed to tell it all", flush=True)
                elif event.get("room") == room and "seq" in event and event["type"] not in ("read", "sent"):
                    # An event of the room's log. One that is known was on its way twice.
                    if event["seq"] <= last:
                        continue
                    last = event["seq"]
                    if event["type"] == "message":
                        print(f"{event['user']}: {event['text']}", flush=True)
        except ConnectionClosed as closed:
            if closed.rcvd and closed.rcvd.code == 4401:
                sys.exit("The token is not good any more: log in again.")


if __name__ == "__main__":
    if len(sys.argv) != 3 or "SNUG_TOKEN" not in os.environ:
        sys.exit(__doc__)
    try:
        asyncio.run(listen(sys.argv[1], sys.argv[2], os.environ["SNUG_TOKEN"]))
    except KeyboardInterrupt:
        pass
