package likeness

import (
	"fmt"
	"slices"
	"strings"
)

// Verdict is what evidence comes to.
type Verdict string

// The verdicts.
const (
	One     Verdict = "one machine"
	Likely  Verdict = "probably one machine"
	Unclear Verdict = "unclear"
	Two     Verdict = "two machines"
)

// Where the verdicts begin, in points. One takes two kinds of hardware that agree,
// or one together with the installation.
const (
	pointsOne    = 8
	pointsLikely = 5
	pointsTwo    = -5
)

// mostPieces bounds what is told: a machine shows a few dozen identifiers, one that
// lies as many as it likes.
const mostPieces = 60

// Piece is one piece of evidence.
type Piece struct {
	Kind   Kind
	Value  string // of the first description; empty: it has none
	Other  string // of the second
	Points int    // above 0: for one machine, below 0: for two, 0: it says nothing
	Why    string // in words
}

// Judgement is what the evidence on two descriptions comes to.
type Judgement struct {
	Verdict Verdict
	Points  int
	Pieces  []Piece // those that count first, then those that say nothing
	Cloned  bool    // what a copied disk brings along agrees, the hardware does not
}

// Holders tells how many CIs show an identifier, those that are compared among
// them. What is above Promiscuous need not be counted to the end.
type Holders func(Trait) (int, error)

// Judge weighs two descriptions, and what is known beside them. The error is that of
// holders.
func Judge(a, b []Trait, holders Holders, more ...Piece) (Judgement, error) {
	a, b = a[:min(len(a), mostPieces)], b[:min(len(b), mostPieces)]
	a, b = lifted(a, b), lifted(b, a)
	j := Judgement{Pieces: slices.Clone(more)}
	hardware, against, copied := 0, false, 0
	for _, p := range more {
		j.Points += p.Points
		against = against || p.Points < 0
	}
	for _, w := range weights {
		pieces, err := weigh(w, ofKind(a, w.kind), ofKind(b, w.kind), holders)
		if err != nil {
			return j, err
		}
		for _, p := range pieces {
			j.Points += p.Points
			switch {
			case p.Points > 0 && w.installed:
				copied++
			case p.Points > 0:
				hardware++
			case p.Points < 0:
				against = true
			}
		}
		j.Pieces = append(j.Pieces, pieces...)
	}
	slices.SortStableFunc(j.Pieces, func(a, b Piece) int { return order(a) - order(b) })
	j.Pieces = j.Pieces[:min(len(j.Pieces), mostPieces)]
	switch {
	case j.Points >= pointsOne && hardware > 0 && !against:
		j.Verdict = One
	case j.Points >= pointsLikely && hardware > 0:
		j.Verdict = Likely
	case j.Points <= pointsTwo:
		j.Verdict = Two
	default:
		j.Verdict = Unclear
	}
	j.Cloned = j.Verdict == Two && copied > 0
	return j, nil
}

// lifted takes an address for a permanent one where the other description says that
// it is: not everything that sees a card knows where its address comes from.
func lifted(a, b []Trait) []Trait {
	a = slices.Clone(a)
	for i, t := range a {
		t.Kind = Permanent
		if a[i].Kind == MAC && slices.ContainsFunc(b, t.same) {
			a[i] = t
		}
	}
	return a
}

func order(p Piece) int {
	switch {
	case p.Points > 0:
		return 0
	case p.Points < 0:
		return 1
	}
	return 2
}

func ofKind(all []Trait, k Kind) (of []Trait) {
	for _, t := range all {
		if t.Kind == k {
			of = append(of, t)
		}
	}
	return of
}

// weigh compares what two descriptions have of one kind. However many addresses are
// shared, they count once: the cards of one machine say one thing.
func weigh(w weight, a, b []Trait, holders Holders) (pieces []Piece, err error) {
	counted := false
	told := map[string]bool{}
	var left, right []Trait // what may identify the one and the other, and is not shared
	for _, t := range a {
		i := slices.IndexFunc(b, t.same)
		if i < 0 {
			if t.Void == "" {
				left = append(left, t)
			}
			continue
		}
		p := Piece{Kind: w.kind, Value: t.Value, Other: b[i].Value}
		if key := strings.ToLower(t.Value); told[key] {
			continue
		} else {
			told[key] = true
		}
		switch void := firstOf(t.Void, b[i].Void); {
		case void != "":
			p.Why = fmt.Sprintf("the same %s, which says nothing: %s", w.kind, void)
		default:
			n, err := holders(t)
			if err != nil {
				return nil, err
			}
			switch {
			case n > Promiscuous:
				p.Why = fmt.Sprintf("the same %s, which says nothing: more than %d CIs show it", w.kind, Promiscuous)
			case counted:
				p.Why = fmt.Sprintf("the same %s once more", w.kind)
			default:
				p.Points, p.Why, counted = w.same, "the same "+string(w.kind), true
			}
		}
		pieces = append(pieces, p)
	}
	for _, t := range b {
		if t.Void == "" && !slices.ContainsFunc(a, t.same) {
			right = append(right, t)
		}
	}
	if len(left) == 0 || len(right) == 0 || counted && w.several {
		return pieces, nil
	}
	p := Piece{Kind: w.kind, Value: left[0].Value, Other: right[0].Value, Points: -w.different}
	switch {
	case w.different == 0:
		p.Why = "another " + string(w.kind) + ", which can be new"
	case w.several:
		p.Why = "no " + string(w.kind) + " in common"
	default:
		p.Why = "another " + string(w.kind)
	}
	return append(pieces, p), nil
}

func firstOf(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// Sentence says the judgement in words: "one machine: the same serial number, the
// same permanent MAC".
func (j Judgement) Sentence() string {
	var parts []string
	for _, p := range j.Pieces {
		if p.Points != 0 {
			parts = append(parts, p.Why)
		}
	}
	s := string(j.Verdict)
	if len(parts) == 0 {
		return s + ": nothing that identifies a machine is known of both"
	}
	s += ": " + strings.Join(parts, ", ")
	if j.Cloned {
		s += "; one disk was copied to the other"
	}
	return s
}
