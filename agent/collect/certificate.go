package collect

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"io/fs"
	"path"
	"strings"
	"time"
)

func certificates() Collector {
	return Collector{Name: "certificates", Owns: []string{"cert/"}, Collect: collectCertificates}
}

// Bounds of what is read of certificates.
const (
	maxCertificateFile = 64 << 10 // bytes; a bundle of authorities is larger
	maxCertificates    = 500
)

// certificateFolders are where services of Debian and Debian Edu keep their own
// certificates. "*" stands for any one folder.
func certificateFolders() []string {
	return []string{
		"etc/ssl", "etc/ssl/certs", "etc/ssl/local", "etc/ldap", "etc/ldap/ssl", "etc/ldap/tls", "etc/apache2/ssl", "etc/nginx/ssl", "etc/cups/ssl",
		"etc/dovecot", "etc/dovecot/ssl", "etc/exim4", "etc/postfix", "etc/postfix/ssl", "etc/freeradius/3.0/certs", "etc/openvpn", "etc/openvpn/server",
		"etc/stunnel", "etc/x2go/ssl", "etc/cockpit/ws-certs.d", "etc/letsencrypt/live/*",
	}
}

// collectCertificates reads the first certificate of each file, which of a chain
// is the service's own: for whom it is, by whom, and until when. Links in
// /etc/ssl/certs lead to the authorities that a package brings and are left out,
// as are bundles. No key is read: what is no certificate in a file is passed over.
func collectCertificates(ctx context.Context, h Host, s *Sink) error {
	folders, err := certificatePlaces(h, s)
	if err != nil {
		return err
	}
	files, err := remember(h.Cache, "certificates", h.stamp(folders...), func() ([]string, error) {
		return certificateFiles(h, s, folders)
	})
	if err != nil {
		return err
	}
	found, err := remember(h.Cache, "certificate contents", h.stamp(files...), func() (map[string]*x509.Certificate, error) {
		all := map[string]*x509.Certificate{}
		for _, name := range files {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			b, err := h.ReadFile(name, maxCertificateFile)
			switch {
			case errors.Is(err, fs.ErrPermission):
				s.Denied(name)
			case err == nil:
				if c := firstCertificate(b); c != nil && len(all) < maxCertificates {
					all[name] = c
				}
			case !Absent(err) && !errors.Is(err, ErrTooBig):
				return nil, err
			}
		}
		return all, nil
	})
	if err != nil {
		return err
	}
	for name, c := range found {
		certificateFacts(s, "/"+name, c)
	}
	return s.Found(len(found) > 0)
}

// certificatePlaces gives the folders that there are.
func certificatePlaces(h Host, s *Sink) ([]string, error) {
	var out []string
	for _, dir := range certificateFolders() {
		above, any := strings.CutSuffix(dir, "/*")
		if !any {
			out = append(out, dir)
			continue
		}
		names, err := h.Entries(s, above)
		if err != nil {
			return nil, err
		}
		for _, name := range names[:min(len(names), maxCertificates)] {
			out = append(out, above+"/"+name)
		}
	}
	return out, nil
}

// certificateFiles lists what may be a certificate of this machine.
func certificateFiles(h Host, s *Sink, folders []string) ([]string, error) {
	var files []string
	for _, dir := range folders {
		names, err := h.Entries(s, dir)
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			switch path.Ext(name) {
			case ".pem", ".crt", ".cer", ".cert":
			default:
				continue
			}
			if strings.Contains(name, "key") { // privkey.pem, server.key.pem
				continue
			}
			if _, err := fs.ReadLink(h.FS, dir+"/"+name); err == nil && dir == "etc/ssl/certs" {
				continue
			}
			files = append(files, dir+"/"+name)
		}
	}
	return files, nil
}

// firstCertificate gives the first certificate of a file in PEM (RFC 7468) or
// DER, nil where there is none.
func firstCertificate(b []byte) *x509.Certificate {
	der := b
	for rest := b; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type == "CERTIFICATE" || block.Type == "TRUSTED CERTIFICATE" {
			der = block.Bytes
			break
		}
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		return nil
	}
	return c
}

func certificateFacts(s *Sink, file string, c *x509.Certificate) {
	put := func(what, value string) { s.Fact(Path("cert", file, what), cut(value, 1000)) }
	put("subject", c.Subject.String())
	if issuer := c.Issuer.String(); issuer == c.Subject.String() {
		put("issuer", "itself")
	} else {
		put("issuer", issuer)
	}
	put("from", c.NotBefore.UTC().Format(time.DateOnly))
	put("expires", c.NotAfter.UTC().Format(time.DateOnly))
	names := append([]string(nil), c.DNSNames...)
	for _, ip := range c.IPAddresses {
		names = append(names, ip.String())
	}
	put("names", strings.Join(names, " "))
	sum := sha256.Sum256(c.Raw)
	put("sha256", hex.EncodeToString(sum[:]))
}

// cut gives at most n bytes of a string.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + "…"
}
