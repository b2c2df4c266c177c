"""Writes the offers of aiortc (audio, video and data; data alone), and its answer to an offer of ours."""
import asyncio, sys
from aiortc import RTCPeerConnection, RTCSessionDescription
async def offer(av):
    pc = RTCPeerConnection()
    if av:
        pc.addTransceiver("audio"); pc.addTransceiver("video")
    pc.createDataChannel("data")
    await pc.setLocalDescription(await pc.createOffer())
    return pc.localDescription.sdp
async def answer(offer):
    pc = RTCPeerConnection()
    await pc.setRemoteDescription(RTCSessionDescription(offer, "offer"))
    await pc.setLocalDescription(await pc.createAnswer())
    sdp = pc.localDescription.sdp
    await pc.close()
    return sdp
async def main():
    for name, av in (("av", True), ("data", False)):
        open(f"{sys.argv[1]}/aiortc-{name}-offer.sdp","w",newline="").write(await offer(av))
    own = open(sys.argv[2], newline="").read()
    open(f"{sys.argv[1]}/aiortc-av-answer-to-columba.sdp", "w", newline="").write(await answer(own))
asyncio.run(main())
