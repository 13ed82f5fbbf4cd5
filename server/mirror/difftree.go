package mirror

// change is one place that differs between two trees.
type change struct {
	path     string
	old, new entry // an entry without a hash is not there
}

// diffTrees calls fn for every place that differs, folders before what is in
// them. Zero hashes are empty trees.
func diffTrees(s treeReader, old, new Hash, prefix string, fn func(change) error) error {
	if old == new {
		return nil
	}
	a, err := readTree(s, old)
	if err != nil {
		return err
	}
	b, err := readTree(s, new)
	if err != nil {
		return err
	}
	for i, j := 0, 0; i < len(a) || j < len(b); {
		var ch change
		switch {
		case j == len(b) || i < len(a) && a[i].key() < b[j].key():
			ch.old = a[i]
			i++
		case i == len(a) || a[i].key() > b[j].key():
			ch.new = b[j]
			j++
		default:
			ch.old, ch.new = a[i], b[j]
			i, j = i+1, j+1
		}
		if ch.old == ch.new {
			continue
		}
		if err := ch.tell(s, prefix, fn); err != nil {
			return err
		}
	}
	return nil
}

func (ch change) tell(s treeReader, prefix string, fn func(change) error) error {
	name := ch.new.name
	if name == "" {
		name = ch.old.name
	}
	ch.path = prefix + name
	if err := fn(ch); err != nil {
		return err
	}
	if ch.old.mode != modeTree && ch.new.mode != modeTree {
		return nil
	}
	return diffTrees(s, ch.old.hash, ch.new.hash, ch.path+"/", fn)
}
