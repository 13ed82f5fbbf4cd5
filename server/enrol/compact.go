package enrol

import (
	"encoding/binary"
	"encoding/json"
	"errors"

	"rollcall/server/store"
)

// How keys and chains are stored, see store.Compact. Changing a number breaks
// every existing database.

var errField = errors.New("a field has a bad form")

// AppendFields implements store.Compact.
func (k Key) AppendFields(f *store.Fields) error {
	f.Text(1, k.ID)
	f.Bytes(2, k.Public)
	f.Text(3, string(k.State))
	f.Text(4, k.CI)
	f.Text(5, k.Hostname)
	f.Text(6, k.Source)
	f.Text(7, k.Token)
	f.Text(8, k.TokenTag)
	f.Text(9, string(k.Kind))
	f.Text(10, k.Trust)
	f.Text(11, k.Site)
	f.Text(12, k.Class)
	f.Text(13, k.WantCI)
	f.Text(14, k.Seat)
	f.Bytes(15, k.Facts)
	f.Text(16, k.Version)
	f.Time(17, k.Asked)
	f.Time(18, k.Decided)
	f.Text(19, k.By)
	f.Text(20, k.Reason)
	f.Text(21, k.Vouched)
	if len(k.Votes) > 0 {
		if err := f.JSON(22, k.Votes); err != nil {
			return err
		}
	}
	f.Text(23, k.Replaced)
	f.Bool(24, k.Cloned)
	f.Uint(25, uint64(k.Forks))
	f.Time(26, k.Resolved)
	f.Text(27, k.Successor)
	f.Bytes(28, k.Statement)
	f.Text(29, k.Image)
	f.Bool(30, k.OneShot)
	return nil
}

// ReadField implements store.Compact.
func (k *Key) ReadField(number uint64, v []byte) error {
	texts := [...]*string{
		1: &k.ID, 3: (*string)(&k.State), 4: &k.CI, 5: &k.Hostname, 6: &k.Source, 7: &k.Token, 8: &k.TokenTag, 9: (*string)(&k.Kind),
		10: &k.Trust, 11: &k.Site, 12: &k.Class, 13: &k.WantCI, 14: &k.Seat, 16: &k.Version, 19: &k.By, 20: &k.Reason,
		21: &k.Vouched, 23: &k.Replaced, 27: &k.Successor, 29: &k.Image,
	}
	if number < uint64(len(texts)) && texts[number] != nil {
		*texts[number] = string(v)
		return nil
	}
	switch number {
	case 2:
		k.Public = append([]byte(nil), v...)
	case 15:
		k.Facts = append([]byte(nil), v...)
	case 17:
		k.Asked = store.TimeOf(v)
	case 18:
		k.Decided = store.TimeOf(v)
	case 22:
		return json.Unmarshal(v, &k.Votes)
	case 24:
		k.Cloned = store.UintOf(v) > 0
	case 25:
		k.Forks = int(store.UintOf(v))
	case 26:
		k.Resolved = store.TimeOf(v)
	case 28:
		k.Statement = append([]byte(nil), v...)
	case 30:
		k.OneShot = store.UintOf(v) > 0
	}
	return nil
}

// AppendFields implements store.Compact.
func (c Chain) AppendFields(f *store.Fields) error {
	f.Uint(1, c.Seq)
	f.Bytes(2, c.Head)
	f.Bytes(3, c.Receipt)
	f.Uint(4, c.Count)
	f.Bool(5, c.Restart)
	var anew []byte
	for _, n := range c.Anew {
		anew = binary.BigEndian.AppendUint64(anew, n)
	}
	f.Bytes(6, anew)
	f.Uint(7, c.Last)
	return nil
}

// ReadField implements store.Compact.
func (c *Chain) ReadField(number uint64, v []byte) error {
	switch number {
	case 1:
		c.Seq = store.UintOf(v)
	case 2:
		c.Head = append([]byte(nil), v...)
	case 3:
		c.Receipt = append([]byte(nil), v...)
	case 4:
		c.Count = store.UintOf(v)
	case 5:
		c.Restart = store.UintOf(v) > 0
	case 6:
		if len(v)%8 != 0 {
			return errField
		}
		for ; len(v) > 0; v = v[8:] {
			c.Anew = append(c.Anew, binary.BigEndian.Uint64(v))
		}
	case 7:
		c.Last = store.UintOf(v)
	}
	return nil
}
