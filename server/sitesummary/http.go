package sitesummary

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"rollcall/server/auth"
	"rollcall/server/store"

	"golang.org/x/time/rate"
)

// Collector is the path that sitesummary-client posts to.
const Collector = "/cgi-bin/sitesummary-collector.cgi"

// thanks is what sitesummary-upload waits for.
const thanks = "Thanks for your submission to site-summary!\nSITESUMMARY HTTP-POST OK\n"

// Bounds of the door, which stands open to everybody in the building.
const (
	maxBody   = 4 << 20
	atOnce    = 4  // uploads that are unpacked at the same time
	coming    = 32 // uploads that are read at the same time, each kept packed until its end: 128 MiB
	patience  = 10 * time.Second
	conns     = 256
	connsHost = 16 // loopback apart, where a proxy may stand

	// Uploads of one address: all machines of a school may come from one. A client
	// sends one after its start and one a day.
	hostRate, hostBurst = 1, 120 // a second
	// Uploads of one machine: more than a few in a row are no client's.
	machineEvery, machineBurst = 10 * time.Minute, 6
	limitersKept               = 20_000
)

// door answers HTTP.
type door struct {
	s        *Service
	reading  chan struct{}
	slots    chan struct{}
	hosts    limiters
	machines limiters
}

// limiters are rate limits by name; when there are too many, all begin anew.
type limiters struct {
	mu    sync.Mutex
	by    map[string]*rate.Limiter
	limit rate.Limit
	burst int
}

func (l *limiters) allow(name string, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.by == nil || len(l.by) > limitersKept {
		l.by = map[string]*rate.Limiter{}
	}
	if l.by[name] == nil {
		l.by[name] = rate.NewLimiter(l.limit, l.burst)
	}
	return l.by[name].AllowN(now, 1)
}

// Serve answers on a listener until ctx ends.
func (s *Service) Serve(ctx context.Context, lis net.Listener) error {
	s.known.Store(-1)
	d := &door{
		s: s, reading: make(chan struct{}, coming), slots: make(chan struct{}, atOnce),
		hosts:    limiters{limit: hostRate, burst: hostBurst},
		machines: limiters{limit: rate.Every(machineEvery), burst: machineBurst},
	}
	srv := &http.Server{
		Handler: d, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 30 * time.Second, WriteTimeout: 45 * time.Second,
		IdleTimeout: 5 * time.Second, MaxHeaderBytes: 8 << 10,
	}
	srv.SetKeepAlivesEnabled(false)
	stop := context.AfterFunc(ctx, func() { _ = srv.Close() })
	defer stop()
	if err := srv.Serve(&crowd{Listener: lis, hosts: map[string]int{}}); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve sitesummary: %w", err)
	}
	return nil
}

// ServeHTTP implements http.Handler.
func (d *door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	if r.URL.Path != Collector {
		d.answer(w, http.StatusNotFound, "Nothing is here but "+Collector+"\n")
		return
	}
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		d.answer(w, http.StatusMethodNotAllowed, "Sitesummary HTTP-POST submission URL, answered by Rollcall\n")
		return
	}
	from := sender(r)
	out, err := d.take(r, w, from)
	d.s.counts.count(out, err)
	if err != nil {
		// No answer holds the words that an upload is taken by, whatever was sent.
		code := codeOf(err)
		if code == http.StatusInternalServerError {
			d.s.Log.Error("sitesummary upload failed", "from", from.String(), "err", err)
			err = errors.New("the server failed; its log says why")
		}
		d.answer(w, code, "Refused: "+strings.ReplaceAll(err.Error(), "POST OK", "")+"\n")
		return
	}
	d.s.Log.Info("sitesummary upload", "from", from.String(), "result", string(out))
	d.answer(w, http.StatusOK, thanks)
}

func (d *door) answer(w http.ResponseWriter, code int, text string) {
	w.WriteHeader(code)
	_, _ = io.WriteString(w, text) // whoever went away does not read it
}

func (d *door) take(r *http.Request, w http.ResponseWriter, from netip.Addr) (Outcome, error) {
	if !d.hosts.allow(auth.HostOf(from.String()), d.s.Now()) {
		return "", fmt.Errorf("%w from %s: try again later", ErrTooMany, from)
	}
	if r.ContentLength > maxBody {
		return "", fmt.Errorf("%w: %d bytes, at most %d", ErrUpload, r.ContentLength, maxBody)
	}
	leave, err := enter(r.Context(), d.reading)
	if err != nil {
		return "", err
	}
	defer leave()
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		return "", fmt.Errorf("%w: it did not come whole: %w", ErrUpload, err)
	}
	// Only what has come takes one of the few slots: a sender that is slow, or wants to
	// be, holds nobody up.
	leave, err = enter(r.Context(), d.slots)
	if err != nil {
		return "", err
	}
	defer leave()
	up, err := readForm(bytes.NewReader(body), r.Header.Get("Content-Type"))
	if err != nil {
		return "", err
	}
	if mac := primaryMAC(up.Files["system/ifconfig-a"]); mac != "" && !d.machines.allow(mac, d.s.Now()) {
		return "", fmt.Errorf("%w of %s: try again in %s", ErrTooMany, entryID(mac), machineEvery)
	}
	return d.s.Take(r.Context(), from, up)
}

// enter waits for a place among so many, with patience.
func enter(ctx context.Context, places chan struct{}) (leave func(), err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	select {
	case places <- struct{}{}:
		return func() { <-places }, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("%w at once: try again later", ErrTooMany)
	}
}

// primaryMAC is the address that an upload is known by.
func primaryMAC(ifconfig []byte) string {
	s := &sheet{}
	s.ifconfig(ifconfig)
	return s.mac
}

// readForm reads the one part of the form that sitesummary-upload sends.
func readForm(body io.Reader, contentType string) (Upload, error) {
	kind, params, err := mime.ParseMediaType(contentType)
	if err != nil || kind != "multipart/form-data" || params["boundary"] == "" {
		return Upload{}, fmt.Errorf("%w: want multipart/form-data", ErrUpload)
	}
	form := multipart.NewReader(body, params["boundary"])
	for range 8 {
		part, err := form.NextRawPart()
		if err != nil {
			return Upload{}, fmt.Errorf("%w: no file \"sitesummary\" in the form: %w", ErrUpload, err)
		}
		if part.FormName() != "sitesummary" {
			continue
		}
		encoding := part.Header.Get("Content-Encoding")
		if !strings.HasSuffix(part.FileName(), ".tar.gz") || encoding != "" && encoding != "identity" {
			return Upload{}, fmt.Errorf("%w: want a file .tar.gz without further encoding", ErrUpload)
		}
		return unpack(part)
	}
	return Upload{}, fmt.Errorf("%w: too many parts in the form", ErrUpload)
}

func codeOf(err error) int {
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return http.StatusRequestEntityTooLarge
	case errors.Is(err, ErrUpload):
		return http.StatusBadRequest
	case errors.Is(err, ErrTooMany):
		return http.StatusTooManyRequests
	case errors.Is(err, ErrDisposed):
		return http.StatusForbidden
	case errors.Is(err, ErrStarting), errors.Is(err, store.ErrReadOnly), errors.Is(err, store.ErrBusy), errors.Is(err, store.ErrClosed):
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}

// sender tells where an upload comes from. A web server on this machine that
// passes uploads on names it in the last place of X-Forwarded-For; what it was told
// by others stands before that.
func sender(r *http.Request) netip.Addr {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	from := peer.Addr().Unmap().WithZone("")
	if !from.IsLoopback() {
		return from
	}
	all := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	told, err := netip.ParseAddr(strings.TrimSpace(all[len(all)-1]))
	if err != nil {
		return from
	}
	return told.Unmap().WithZone("")
}
