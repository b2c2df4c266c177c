"""Writes the offers of GStreamer's webrtcbin: of audio, video and data, and of data alone."""
import sys
import gi
gi.require_version("Gst", "1.0"); gi.require_version("GstWebRTC", "1.0"); gi.require_version("GstSdp", "1.0")
from gi.repository import GLib, Gst, GstSdp, GstWebRTC
Gst.init(None)
MEDIA = ("audiotestsrc ! opusenc ! rtpopuspay pt=97 ! application/x-rtp,media=audio,encoding-name=OPUS,payload=97 ! w. "
         "videotestsrc ! vp8enc deadline=1 ! rtpvp8pay pt=96 ! application/x-rtp,media=video,encoding-name=VP8,payload=96 ! w. ")
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
