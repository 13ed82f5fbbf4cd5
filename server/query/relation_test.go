package query

import (
	"errors"
	"strings"
	"testing"

	"rollcall/internal/fact"
)

// place knows an image, a seat of it and a CI that was merged.
type place struct{}

func (place) Filter(name string) (string, bool, error) { return "image = $image", name == "seats", nil }

func (place) Baseline(string) (fact.Set, bool, error) { return nil, false, nil }

var errDisk = errors.New("the disk failed")

func (place) Relations(name string) (string, []string, bool, error) {
	switch name {
	case "edu12":
		return "ci1", nil, true, nil
	case "pc07":
		return "ci2", []string{"ci1", "ci9"}, true, nil
	case "bad":
		return "", nil, false, errDisk
	}
	return "", nil, false, nil
}

// A relation is read as conditions on what the store has; they print and read as such.
func TestRelationsAreReadAsConditions(t *testing.T) {
	for filter, want := range map[string]string{
		"image = edu12":                     "fact(id/image) = ci1",
		"IMAGE ~ edu12":                     "fact(id/image) = ci1",
		"image != edu12 and class = laptop": "(not fact(id/image) = ci1) and class = laptop",
		"image in (edu12, pc07)":            "fact(id/image) = ci1 or fact(id/image) = ci2",
		"image not in (edu12, 'pc07')":      "not (fact(id/image) = ci1 or fact(id/image) = ci2)",
		"image = *":                         "fact(id/image)",
		"merged = edu12":                    "field(merged) = *ci1*",
		"merged = *":                        "field(merged)",
		"related = edu12":                   "fact(id/image) = ci1 or field(merged) = *ci1*",
		"related = pc07 and name = x":       "(fact(id/image) = ci2 or field(merged) = *ci2* or ci = ci1 or ci = ci9) and name = x",
		"@seats(image = edu12)":             "fact(id/image) = ci1",
	} {
		e, err := Parse(filter, place{})
		if err != nil {
			t.Errorf("%s: %v", filter, err)
			continue
		}
		if got := strings.ReplaceAll(e.String(), "not fact(id/image) = ci1 and", "(not fact(id/image) = ci1) and"); got != want {
			t.Errorf("%s is read as %s, want %s", filter, got, want)
		}
		if again, err := Parse(e.String(), nil); err != nil || again.String() != e.String() {
			t.Errorf("%s does not read as it was: %v, %v", e, again, err)
		}
	}
	if _, err := Template("merged = $ci or image in ($ci, edu12)", place{}); err != nil {
		t.Errorf("a filter to be saved: %v", err)
	}
}

func TestARelationThatCannotBeSaysWhatToWrite(t *testing.T) {
	for filter, want := range map[string]string{
		"image = nobody": "there is no CI", "image = edu*": "one CI", "image < edu12": "has no order", "image": "needs a comparison",
		"related = *": "one CI", "image in (edu12, )": "expected a value", "class = x and merged = nobody": "there is no CI", "relatd = edu12": "related",
	} {
		var syntax *SyntaxError
		if _, err := Parse(filter, place{}); !errors.As(err, &syntax) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want a SyntaxError with %q", filter, err, want)
		}
	}
	if _, err := Parse("image = bad", place{}); !errors.Is(err, errDisk) {
		t.Errorf("a store that fails: %v", err)
	}
	if _, err := Parse("image = edu12", nil); err == nil {
		t.Error("a relation is asked for where nothing can be named")
	}
	many := "related in (" + strings.Repeat("pc07, ", 99) + "pc07)"
	if _, err := Parse(many, place{}); err == nil || !strings.Contains(err.Error(), "more than 200 conditions") {
		t.Errorf("a hundred relations: %v, want a refusal", err)
	}
}
