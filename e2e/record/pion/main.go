// Writes Pion's offers: of audio, video and data, and of data alone.
package main

import (
	"os"

	"github.com/pion/webrtc/v4"
)

func main() {
	for name, media := range map[string]bool{"av": true, "data": false} {
		text, err := offer(media)
		if err == nil {
			err = os.WriteFile(os.Args[1]+"/pion-"+name+"-offer.sdp", []byte(text), 0o644)
		}
		if err != nil {
			println(err.Error())
			os.Exit(1)
		}
	}
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
