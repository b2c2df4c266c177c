"""Writes offers of Janus: of its text room (data), of a stream to watch (audio and video), and its answers to offers."""
import json, sys, urllib.request
BASE = "http://127.0.0.1:8088/janus"
def post(path, body):
    body.setdefault("transaction", "x")
    req = urllib.request.Request(BASE + path, json.dumps(body).encode(), {"Content-Type": "application/json"})
    return json.load(urllib.request.urlopen(req, timeout=10))
def poll(session):
    return json.load(urllib.request.urlopen(f"{BASE}/{session}?maxev=1", timeout=40))
def jsep(plugin, message, offer=None):
    session = post("", {"janus": "create"})["data"]["id"]
    handle = post(f"/{session}", {"janus": "attach", "plugin": plugin})["data"]["id"]
    body = {"janus": "message", "body": message}
    if offer: body["jsep"] = {"type": "offer", "sdp": offer}
    post(f"/{session}/{handle}", body)
    for _ in range(5):
        event = poll(session)
        if "jsep" in event: return event["jsep"]["sdp"]
        print(event, file=sys.stderr)
out = sys.argv[1]
def write(name, text):
    print(name, bool(text))
    if text: open(f"{out}/{name}.sdp", "w", newline="").write(text)
write("janus-data-offer", jsep("janus.plugin.textroom", {"request": "setup"}))
write("janus-av-offer", jsep("janus.plugin.streaming", {"request": "watch", "id": 1}))
for name, path in (("chromium", sys.argv[2]), ("columba", sys.argv[3])):
    offer = open(path, newline="").read()
    write(f"janus-av-answer-to-{name}", jsep("janus.plugin.echotest", {"audio": True, "video": True}, offer))
