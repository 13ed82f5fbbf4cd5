package restore

import (
	"crypto/sha256"
	"path"
	"slices"

	"rollcall/internal/fact"
)

// decideContent is for regular files.
func (p *planner) decideContent(e *Entry) {
	content, got := p.contents[e.Path]
	here, err := p.read(e.Have, e.Path)
	if err != nil {
		e.Action, e.Reason = Blocked, err.Error()
		return
	}
	e.known = sha256.Sum256(here)
	switch {
	case e.Want.Kind == fact.KindPlain && e.Have != nil && here != nil && e.known == e.Want.Digest,
		e.Want.Kind == fact.KindTooBig && e.Have != nil && e.Have.Kind == fact.KindTooBig && e.Have.Digest == e.Want.Digest,
		got && here != nil && string(here) == string(content):
		p.attributesOnly(e)
		return
	case e.Want.Kind == fact.KindSealed && !got:
		e.Action, e.Reason = Sealed, "needs an age identity: --identity FILE, or --sealed-out"
		if p.opt.Identities.Len() > 0 {
			e.Reason = "none of the given identities opens it, or the source lacks it"
		} else if p.opt.Opened != nil {
			e.Reason = "the answer does not hold it"
		}
		return
	case e.Want.Kind == fact.KindKeyed:
		e.Action, e.Reason = Withheld, "a secret; no recipients were configured there, so its content never left that machine"
		return
	case e.Want.Kind == fact.KindTooBig:
		e.Action, e.Reason = Withheld, "larger than what is kept (16 MiB)"
		return
	case !got:
		e.Action, e.Reason = Withheld, "the source lacks the content"
		return
	}
	e.content, e.hasContent = content, true
	e.Action = createOrChange(e.Have)
	if here != nil {
		p.threeWay(e, here)
	}
	if (e.Action == Change || e.Action == Merge) && e.Have != nil && e.Want.Kind == fact.KindPlain && e.Have.Kind == fact.KindPlain {
		e.Diff = unified(e.Path+" (here)", e.Path+" (restored)", here, e.content)
	}
}

// threeWay looks after conffiles of packages that are installed here: their
// newer defaults must not be lost under old files, nor local changes under newer
// defaults. Merging with what is here finds nothing to do where that was done
// before, so that a restore can be run again.
func (p *planner) threeWay(e *Entry, here []byte) {
	def, conffile := p.defaults["/"+fileName(e.Path)]
	if !conffile || p.named(e.Path) {
		return
	}
	drift, changed := p.drift(e.Path)
	if !changed || drift.Drift != fact.Modified {
		if md5Of(e.content) != def.MD5 && !p.opt.All {
			e.Action, e.Reason = Newer, "a default of "+def.Package+" that nobody had changed there"
		}
		return
	}
	if drift.Pristine == def.MD5 {
		return // the default has not changed since: the local version fits
	}
	base, have := p.pristine[e.Path]
	if have && e.Want.Kind == fact.KindPlain && isText(base) && isText(here) && isText(e.content) {
		if merged, clean := merge3(splitLines(normal(base)), splitLines(normal(e.content)), splitLines(normal(here))); clean {
			e.content = joinLines(merged)
			if e.Action, e.Reason = Merge, "local changes and the newer default of "+def.Package; string(e.content) == string(here) {
				p.attributesOnly(e)
			}
			return
		}
	}
	e.Action, e.Reason = Conflict, "the newer default of "+def.Package+" stays, the old local version is laid beside it as "+path.Base(e.Path)+oldSuffix
	if !have {
		e.Reason += " (the source lacks the old default, so they cannot be merged)"
	}
	if e.Want.Kind == fact.KindPlain && e.Have.Kind == fact.KindPlain {
		e.Diff = unified(e.Path+" (newer default, here)", e.Path+" (old local version)", here, e.content)
	}
}

// normal ends a text with a newline, so that one more or less is no conflict.
func normal(b []byte) []byte {
	if len(b) > 0 && b[len(b)-1] != '\n' {
		return append(slices.Clone(b), '\n')
	}
	return b
}
