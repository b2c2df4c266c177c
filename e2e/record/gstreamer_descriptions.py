"""Writes the offers of GStreamer's webrtcbin (audio, video and data; data alone), and its answer to an offer of ours."""
import re
import sys
import gi
gi.require_version("Gst", "1.0"); gi.require_version("GstWebRTC", "1.0"); gi.require_version("GstSdp", "1.0")
from gi.repository import GLib, Gst, GstSdp, GstWebRTC
Gst.init(None)
MEDIA = ("audiotestsrc ! opusenc ! rtpopuspay pt=97 ! application/x-rtp,media=audio,encoding-name=OPUS,payload=97 ! w. "
         "videotestsrc ! vp8enc deadline=1 ! rtpvp8pay pt=96 ! application/x-rtp,media=video,encoding-name=VP8,payload=96 ! w. ")
TRANSPORT = ("a=ice-ufrag:", "a=ice-pwd:", "a=fingerprint:", "a=setup:")
def repeated(offer):
    """webrtcbin 1.22 takes bundled sections only with the first one's transport in each of them."""
    head, *sections = re.split(r"(?m)^(?=m=)", offer)
    first = [line for line in sections[0].splitlines(True) if line.startswith(TRANSPORT)]
    for index, section in enumerate(sections[1:], 1):
        own = TRANSPORT + ("a=candidate:", "a=end-of-candidates", "a=tls-id:")
        lines = [line for line in section.splitlines(True) if not line.startswith(own)]
        mid = next(number for number, line in enumerate(lines) if line.startswith("a=mid:"))
        sections[index] = "".join(lines[:mid + 1] + first + lines[mid + 1:])
    return head + "".join(sections)
def answer(offer):
    pipeline = Gst.parse_launch("webrtcbin name=w bundle-policy=max-bundle fakesrc ! fakesink")
    one, loop, found = pipeline.get_by_name("w"), GLib.MainLoop(), []
    def gathered(*_):
        if one.get_property("ice-gathering-state") == GstWebRTC.WebRTCICEGatheringState.COMPLETE:
            found.append(one.get_property("local-description").sdp.as_text()); loop.quit()
    def created(promise):
        reply = promise.get_reply()  # what it holds lives as long as it does
        one.emit("set-local-description", reply.get_value("answer"), Gst.Promise.new())
    def taken(*_):
        one.emit("create-answer", None, Gst.Promise.new_with_change_func(created))
    one.connect("notify::ice-gathering-state", gathered)
    pipeline.set_state(Gst.State.PLAYING)
    _, message = GstSdp.SDPMessage.new_from_text(offer)
    theirs = GstWebRTC.WebRTCSessionDescription.new(GstWebRTC.WebRTCSDPType.OFFER, message)
    one.emit("set-remote-description", theirs, Gst.Promise.new_with_change_func(taken))
    GLib.timeout_add_seconds(20, loop.quit)
    loop.run()
    pipeline.set_state(Gst.State.NULL)
    return found[0]
def offer(media):
    pipeline = Gst.parse_launch("webrtcbin name=w bundle-policy=max-bundle " + (MEDIA if media else "fakesrc ! fakesink"))
    one, loop, found = pipeline.get_by_name("w"), GLib.MainLoop(), []
    def gathered(*_):
        if one.get_property("ice-gathering-state") == GstWebRTC.WebRTCICEGatheringState.COMPLETE:
            found.append(one.get_property("local-description").sdp.as_text()); loop.quit()
    def created(promise):
        reply = promise.get_reply()
        one.emit("set-local-description", reply.get_value("offer"), Gst.Promise.new())
    one.connect("notify::ice-gathering-state", gathered)
    pipeline.set_state(Gst.State.READY)
    one.emit("create-data-channel", "data", None)
    if media:
        one.connect("on-negotiation-needed", lambda *_: one.emit("create-offer", None, Gst.Promise.new_with_change_func(created)))
    pipeline.set_state(Gst.State.PLAYING)
    if not media:
        one.emit("create-offer", None, Gst.Promise.new_with_change_func(created))
    GLib.timeout_add_seconds(20, loop.quit)
    loop.run()
    pipeline.set_state(Gst.State.NULL)
    return found[0]
for name, media in (("av", True), ("data", False)):
    open(f"{sys.argv[1]}/gstreamer-{name}-offer.sdp", "w", newline="").write(offer(media))
own = answer(repeated(open(sys.argv[2], newline="").read()))
open(f"{sys.argv[1]}/gstreamer-av-answer-to-columba.sdp", "w", newline="").write(own)
