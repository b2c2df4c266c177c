// Writes Pion's offers (audio, video and data; data alone), and its answer to an offer of ours.
package main

import (
	"os"

	"github.com/pion/webrtc/v4"
)

func main() {
	own, err := os.ReadFile(os.Args[2])
	if err == nil {
		err = write("av-answer-to-columba", func() (string, error) { return answer(string(own)) })
	}
	for name, media := range map[string]bool{"av": true, "data": false} {
		if err == nil {
			err = write(name+"-offer", func() (string, error) { return offer(media) })
		}
	}
	if err != nil {
		println(err.Error())
		os.Exit(1)
	}
}

func write(name string, make func() (string, error)) error {
	text, err := make()
	if err != nil {
		return err
	}
	return os.WriteFile(os.Args[1]+"/pion-"+name+".sdp", []byte(text), 0o644)
}

// answer returns the answer to an offer, with all candidates.
func answer(offer string) (string, error) {
	connection, err := webrtc.NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		return "", err
	}
	defer connection.Close()
	description := webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: offer}
	if err := connection.SetRemoteDescription(description); err != nil {
		return "", err
	}
	local, err := connection.CreateAnswer(nil)
	if err != nil {
		return "", err
	}
	gathered := webrtc.GatheringCompletePromise(connection)
	if err := connection.SetLocalDescription(local); err != nil {
		return "", err
	}
	<-gathered
	return connection.LocalDescription().SDP, nil
}

// offer returns an offer with all candidates.
func offer(media bool) (string, error) {
	connection, err := webrtc.NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		return "", err
	}
	defer connection.Close()
	if media {
		for _, kind := range []webrtc.RTPCodecType{webrtc.RTPCodecTypeAudio, webrtc.RTPCodecTypeVideo} {
			if _, err := connection.AddTransceiverFromKind(kind); err != nil {
				return "", err
			}
		}
	}
	if _, err := connection.CreateDataChannel("data", nil); err != nil {
		return "", err
	}
	description, err := connection.CreateOffer(nil)
	if err != nil {
		return "", err
	}
	gathered := webrtc.GatheringCompletePromise(connection)
	if err := connection.SetLocalDescription(description); err != nil {
		return "", err
	}
	<-gathered
	return connection.LocalDescription().SDP, nil
}
