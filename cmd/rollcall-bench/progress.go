package main

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/term"
)

// progress tells how far a phase is: in one line that is written anew on a
// terminal, else in a line every ten seconds.
type progress struct {
	w        io.Writer
	terminal bool
	every    time.Duration
}

func newProgress(w io.Writer) *progress {
	p := &progress{w: w, every: 10 * time.Second}
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		p.terminal, p.every = true, 200*time.Millisecond
	}
	return p
}

// watch tells about a phase until stop is called.
func (p *progress) watch(ph *phase, total int) (stop func()) {
	ended := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		t := time.NewTicker(p.every)
		defer t.Stop()
		for {
			select {
			case <-ended:
				if p.terminal {
					fmt.Fprint(p.w, "\r\x1b[K")
				}
				return
			case <-t.C:
				p.line(ph, total)
			}
		}
	})
	return func() {
		close(ended)
		wg.Wait()
	}
}

func (p *progress) line(ph *phase, total int) {
	done, refused, failed := ph.counts()
	text := fmt.Sprintf("%s: %d of %d, %.0f/s, %d refused, %d failed", ph.name, done, total, float64(done)/time.Since(ph.began).Seconds(), refused, failed)
	if p.terminal {
		fmt.Fprint(p.w, "\r\x1b[K"+text)
		return
	}
	fmt.Fprintln(p.w, text)
}
