package web

import (
	"bytes"
	"compress/flate"
	"encoding/json"
	"io"
	"sync"
)

// compact writes what a cookie seals as compressed JSON, because browsers drop
// cookies of more than 4096 bytes, and proxies requests with 8 KiB of them. It is
// for values that belong to one attempt: their secrets are new each time, so that
// a length tells nothing about them.
type compact struct{}

// dictionary is what most of these values have in common; the most frequent
// stands last.
var dictionary = []byte(`"Browser":"Firefox","System":"Windows","Sent":1,"Wrong":0,"Email":"","Token":"","ID":"","UserID":"Subject":"Since":"` +
	`{"code":["state":["{"Request":{"Provider":"","Issuer":"https://","ClientID":"","RedirectURI":"https://auth./auth/callback/","State":"","Nonce":"","CodeVerifier":""},"ReturnTo":"https://www.","LinkTo":0,"StartedAt":"20`)

// A writer takes a megabyte, so they are kept.
var deflaters = sync.Pool{New: func() any {
	w, err := flate.NewWriterDict(nil, flate.BestCompression, dictionary)
	if err != nil {
		panic(err) // the level is one
	}
	return w
}}

func (compact) Serialize(value any) ([]byte, error) {
	var b bytes.Buffer
	w := deflaters.Get().(*flate.Writer)
	defer deflaters.Put(w)
	w.Reset(&b)
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false) // & would take six bytes
	if err := e.Encode(value); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

func (compact) Deserialize(raw []byte, into any) error {
	r := flate.NewReaderDict(bytes.NewReader(raw), dictionary)
	return json.NewDecoder(io.LimitReader(r, maxBody)).Decode(into)
}
