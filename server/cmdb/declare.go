package cmdb

import (
	"encoding/json"
	"fmt"
	"maps"
	"strings"

	"rollcall/internal/fact"
)

// Bounds of what people declare about one CI.
const (
	maxFields = 100
	maxField  = 2000 // bytes of a value
	// maxFieldsJSON bounds all fields together, as they are stored: a revision
	// that changes them all holds them twice and must fit into one value.
	maxFieldsJSON = 20 << 10
)

// Declare returns ci with fields changed. The fields name, class, site and
// status have rules of their own; any other is a word of lower-case letters,
// digits and hyphens, such as owner, room, purchased, barcode. An empty value
// removes a field.
func (w Writer) Declare(ci CI, fields map[string]string) (CI, error) {
	if into := ci.Into(); into != "" {
		return CI{}, fmt.Errorf("CI %s: %w: it was merged into CI %s: change that one, or split them", ci.Name, ErrInvalid, into)
	}
	ci.Fields = maps.Clone(ci.Fields)
	if ci.Fields == nil {
		ci.Fields = map[string]string{}
	}
	for name, value := range fields {
		if err := w.declare(&ci, name, fact.Value(value)); err != nil {
			return CI{}, err
		}
	}
	if len(ci.Fields) > maxFields {
		return CI{}, fmt.Errorf("CI %s: %w: more than %d fields", ci.Name, ErrInvalid, maxFields)
	}
	b, err := json.Marshal(ci.Fields)
	if err != nil {
		return CI{}, fmt.Errorf("CI %s: encode fields: %w", ci.Name, err)
	}
	if len(b) > maxFieldsJSON {
		return CI{}, fmt.Errorf("CI %s: %w: its fields take more than %d bytes together", ci.Name, ErrInvalid, maxFieldsJSON)
	}
	return ci, nil
}

func (w Writer) declare(ci *CI, name, value string) error {
	switch name {
	case "name":
		if err := CheckName(value); err != nil {
			return err
		}
		ci.Name = value
		return nil
	case "class":
		ci.Class = value
		return CheckClass(value)
	case "site":
		ci.Site = value
		return w.HasSite(value)
	case "status":
		ci.Status = Status(value)
		return CheckStatus(ci.Status)
	}
	if err := checkField(name); err != nil {
		return err
	}
	if len(value) > maxField {
		return fmt.Errorf("field %s: %w: more than %d bytes", name, ErrInvalid, maxField)
	}
	if value == "" {
		delete(ci.Fields, name)
	} else {
		ci.Fields[name] = value
	}
	return nil
}

// checkField refuses names that are not words, and those of what is observed:
// nobody can declare them.
func checkField(name string) error {
	if name == "" || len(name) > 32 || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
		return fmt.Errorf("field %.40q: %w: want 1 to 32 lower-case letters, digits and hyphens", name, ErrInvalid)
	}
	switch name {
	case IntoField, PartsField:
		return fmt.Errorf("field %s: %w: see rollcall ci merge", name, ErrInvalid)
	case "id", "ci", "presence", "mac", "serial", "os", "kernel", "changed", "created", "uuid", "vendor", "model", "ip":
		return fmt.Errorf("field %s: %w: it is observed, not declared", name, ErrInvalid)
	}
	return nil
}

// Same tells whether two heads say the same.
func (c CI) Same(other CI) bool {
	return maps.Equal(c.declared(), other.declared()) && maps.Equal(c.State, other.State)
}
