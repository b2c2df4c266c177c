// Pion's peer connection with media, behind the commands of e2e/peers/media-peer.js, which come on
// its standard input; events go to its standard output, a JSON object a line. Its arguments are an
// IVF file with VP8 and an Ogg file with Opus, which it shows again and again. At a line that is
// no command it ends with one sentence on its standard error and exit code 2.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/webrtc/v4"
	"github.com/pion/webrtc/v4/pkg/media"
	"github.com/pion/webrtc/v4/pkg/media/ivfreader"
	"github.com/pion/webrtc/v4/pkg/media/oggreader"
)

const (
	usageError = 2 // the exit code for a line that is no command

	// The clock of Opus in Ogg.
	sampleRate = 48000
)

type command struct {
	Do   string
	Type string
	SDP  string
}

type event map[string]any

var output sync.Mutex

func report(one event) {
	line, err := json.Marshal(one)
	if err != nil {
		panic(err)
	}
	output.Lock()
	defer output.Unlock()
	os.Stdout.Write(append(line, '\n'))
}

func fail(err error) {
	report(event{"event": "error", "message": err.Error()})
}

type peer struct {
	connection    *webrtc.PeerConnection
	audio, video  atomic.Uint64
	plis          atomic.Uint64
	once          sync.Once
	sound, moving *webrtc.TrackLocalStaticSample
	files         []string
}

func newPeer(files []string) (*peer, error) {
	connection, err := webrtc.NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		return nil, err
	}
	p := &peer{connection: connection, files: files}
	vp8 := webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeVP8}
	if p.moving, err = webrtc.NewTrackLocalStaticSample(vp8, "picture", "film"); err != nil {
		return nil, err
	}
	opus := webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeOpus}
	if p.sound, err = webrtc.NewTrackLocalStaticSample(opus, "sound", "film"); err != nil {
		return nil, err
	}
	connection.OnTrack(p.take)
	connection.OnConnectionStateChange(func(state webrtc.PeerConnectionState) {
		report(event{"event": "state", "state": state.String()})
		if state == webrtc.PeerConnectionStateConnected {
			p.once.Do(func() {
				go p.repeat(p.showPicture)
				go p.repeat(p.playSound)
			})
		}
	})
	return p, nil
}

// addTracks adds both tracks; those of an offer that was set before get its transceivers.
func (p *peer) addTracks() error {
	for _, track := range []webrtc.TrackLocal{p.sound, p.moving} {
		sender, err := p.connection.AddTrack(track)
		if err != nil {
			return err
		}
		go func() {
			for {
				packets, _, err := sender.ReadRTCP()
				if err != nil {
					return
				}
				for _, packet := range packets {
					if _, is := packet.(*rtcp.PictureLossIndication); is {
						p.plis.Add(1)
					}
				}
			}
		}()
	}
	return nil
}

// take counts the frames that arrive: packets with a marker, of sound all.
func (p *peer) take(track *webrtc.TrackRemote, _ *webrtc.RTPReceiver) {
	for {
		packet, _, err := track.ReadRTP()
		if err != nil {
			return
		}
		if len(packet.Payload) == 0 {
			continue
		}
		if track.Kind() == webrtc.RTPCodecTypeAudio {
			p.audio.Add(1)
		} else if packet.Marker {
			p.video.Add(1)
		}
	}
}

func (p *peer) repeat(show func() error) {
	for p.connection.ConnectionState() == webrtc.PeerConnectionStateConnected {
		if err := show(); !errors.Is(err, io.EOF) {
			fail(err)
			return
		}
	}
}

func (p *peer) showPicture() error {
	file, err := os.Open(p.files[0])
	if err != nil {
		return err
	}
	defer file.Close()
	reader, header, err := ivfreader.NewWith(file)
	if err != nil {
		return err
	}
	step := time.Second * time.Duration(header.TimebaseNumerator) / time.Duration(header.TimebaseDenominator)
	ticker := time.NewTicker(step)
	defer ticker.Stop()
	for range ticker.C {
		frame, _, err := reader.ParseNextFrame()
		if err != nil {
			return err
		}
		if err := p.moving.WriteSample(media.Sample{Data: frame, Duration: step}); err != nil {
			return err
		}
	}
	return io.EOF
}

func (p *peer) playSound() error {
	file, err := os.Open(p.files[1])
	if err != nil {
		return err
	}
	defer file.Close()
	reader, _, err := oggreader.NewWith(file)
	if err != nil {
		return err
	}
	var last uint64
	for {
		page, header, err := reader.ParseNextPage()
		if err != nil {
			return err
		}
		if strings.HasPrefix(string(page), "OpusTags") {
			continue
		}
		length := time.Second * time.Duration(header.GranulePosition-last) / sampleRate
		last = header.GranulePosition
		if err := p.sound.WriteSample(media.Sample{Data: page, Duration: length}); err != nil {
			return err
		}
		time.Sleep(length)
	}
}

func (p *peer) describe(description webrtc.SessionDescription) error {
	gathered := webrtc.GatheringCompletePromise(p.connection)
	if err := p.connection.SetLocalDescription(description); err != nil {
		return err
	}
	<-gathered
	local := p.connection.LocalDescription()
	report(event{"event": "description", "type": local.Type.String(), "sdp": local.SDP})
	return nil
}

func (p *peer) obey(c command) error {
	switch c.Do {
	case "offer":
		if err := p.addTracks(); err != nil {
			return err
		}
		offer, err := p.connection.CreateOffer(nil)
		if err != nil {
			return err
		}
		return p.describe(offer)
	case "setRemote":
		description := webrtc.SessionDescription{Type: webrtc.NewSDPType(c.Type), SDP: c.SDP}
		if err := p.connection.SetRemoteDescription(description); err != nil {
			return err
		}
		if description.Type != webrtc.SDPTypeOffer {
			return nil
		}
		if err := p.addTracks(); err != nil {
			return err
		}
		answer, err := p.connection.CreateAnswer(nil)
		if err != nil {
			return err
		}
		return p.describe(answer)
	case "count":
		report(event{"event": "counts", "audio": p.audio.Load(), "video": p.video.Load(), "plis": p.plis.Load()})
		return nil
	case "end":
		return p.connection.Close()
	}
	return fmt.Errorf("there is no command %s", c.Do)
}

func usage(sentence string) {
	fmt.Fprintf(os.Stderr, "pion: %s\n", sentence)
	os.Exit(usageError)
}

func main() {
	if len(os.Args) != 3 {
		usage("the arguments are an IVF file and an Ogg file")
	}
	p, err := newPeer(os.Args[1:])
	if err != nil {
		fail(err)
		os.Exit(1)
	}
	lines := bufio.NewReader(os.Stdin)
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			return
		}
		var c command
		if err := json.Unmarshal([]byte(line), &c); err != nil {
			usage(fmt.Sprintf("not a command: %v", err))
		}
		if err := p.obey(c); err != nil {
			fail(err)
		}
	}
}
