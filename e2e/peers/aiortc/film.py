"""aiortc's peer connection with media, commanded as the others are (`e2e/peers/media-peer.js`): one JSON object a line, commands in,
reports out. It sends a picture that it encodes itself and silence, and counts the frames that it decodes. It ends with its standard input;
at a line that is no command, with one sentence on its standard error and exit code 2."""

import asyncio

from aiortc import RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import AudioStreamTrack, MediaStreamError, VideoStreamTrack

from commands import describe, report, serve


class Peer:
    def __init__(self):
        self.connection = RTCPeerConnection()
        self.counts = {"audio": 0, "video": 0}
        self.tasks = set()
        self.connection.on("track", self.attend)
        self.connection.on("connectionstatechange", lambda: report("state", state=self.connection.connectionState))

    def attend(self, track):
        task = asyncio.ensure_future(self.count(track))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def count(self, track):
        while True:
            try:
                await track.recv()
            except MediaStreamError:
                return
            self.counts[track.kind] += 1

    def add_tracks(self):
        self.connection.addTrack(AudioStreamTrack())
        self.connection.addTrack(VideoStreamTrack())

    async def obey(self, command):
        what, connection = command["do"], self.connection
        if what == "offer":
            self.add_tracks()
            await connection.setLocalDescription(await connection.createOffer())
            describe(connection)
        elif what == "setRemote":
            await connection.setRemoteDescription(RTCSessionDescription(sdp=command["sdp"], type=command["type"]))
            if command["type"] == "offer":
                self.add_tracks()
                await connection.setLocalDescription(await connection.createAnswer())
                describe(connection)
        elif what == "count":
            report("counts", **self.counts)
        elif what == "end":
            await connection.close()
        else:
            raise ValueError(f"there is no command {what}")


async def main():
    await serve(Peer())


asyncio.run(main())
