package mirror

func (r *repo) refreshGraph() error { return nil }
