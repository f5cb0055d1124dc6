package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/gatepost/gatepost/flows"
	"github.com/gatepost/gatepost/providers"
)

// waitForAnswer gives the fields of the provider's answer to r: pasted, or where
// the redirect URI is on this machine and nothing listens there, as it comes.
func waitForAnswer(ctx context.Context, client *providers.Client, r providers.AuthorizationRequest, in io.Reader, out io.Writer) (url.Values, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, flows.AttemptTTL, fmt.Errorf("no answer within %s", flows.AttemptTTL))
	defer cancel()
	arrived := make(chan url.Values, 1)
	listens := ""
	if l := listenAt(ctx, r.RedirectURI); l != nil {
		listens = l.Addr().String()
		server := &http.Server{Handler: answerHandler(r, arrived), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second}
		go server.Serve(l)
		defer func() {
			ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
			defer cancel()
			server.Shutdown(ending) // the browser gets its page
		}()
	}
	fmt.Fprint(out, "\n"+howToAnswer(client.FormPost(), r.RedirectURI, listens))
	typed := lines(ctx, in)
	for {
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case answer := <-arrived:
			return answer, nil
		case line, ok := <-typed:
			if !ok {
				if listens != "" { // started without a terminal
					typed = nil
					continue
				}
				return nil, errors.New("the input ended before an answer came")
			}
			answer, err := parseAnswer(line, r)
			if err == nil {
				return answer, nil
			}
			fmt.Fprintf(out, "%v\n", err)
		}
	}
}

func howToAnswer(posts bool, redirectURI, listens string) string {
	const file = "Where a terminal cuts long lines (macOS after 1024 characters), put it into a file and type @ and the file's name.\n"
	switch {
	case listens != "":
		return "Waiting at " + listens + " for the browser to come back. If the browser is on another machine, lead it here by\n" +
			"ssh -L, or paste the address at which it ends.\n"
	case posts:
		return "Then paste the line that " + redirectURI + " shows, and press Enter.\n" +
			"This provider posts its answer, so that the address alone does not have it. A site that runs another version or has other\n" +
			"keys does not show it: then open the browser's developer tools before, choose Network and keep the log, and copy the form\n" +
			"data of the POST to that address as it was sent (view source).\n" + file
	}
	return "Then paste the address at which the browser ends, or the line that the site shows there, and press Enter. It does not\n" +
		"matter whether the site runs. The site signs nobody in by this answer, and leaves the code in it unspent.\n" + file
}

// listenAt listens where the redirect URI leads, or returns nil: that is not this
// machine, is https, or has somebody listening already.
func listenAt(ctx context.Context, redirectURI string) net.Listener {
	u, err := url.Parse(redirectURI)
	if err != nil || u.Scheme != "http" {
		return nil
	}
	host, port := u.Hostname(), u.Port()
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return nil
	}
	if port == "" {
		port = "80"
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", net.JoinHostPort(host, port))
	if err != nil {
		return nil
	}
	return l
}

// answerHandler takes the one answer to r, by GET or POST. Whatever else comes here
// is turned away and spoils nothing.
func answerHandler(r providers.AuthorizationRequest, arrived chan<- url.Values) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, got *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("Referrer-Policy", "no-referrer")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		got.Body = http.MaxBytesReader(w, got.Body, 64<<10)
		u, err := url.Parse(r.RedirectURI)
		if err != nil || got.URL.Path != u.Path || got.ParseForm() != nil || !answers(got.Form, r) {
			w.WriteHeader(http.StatusBadRequest)
			io.WriteString(w, "This is not the answer that gatepost check --sign-in waits for.\n")
			return
		}
		io.WriteString(w, "The answer has come. Go on in the terminal.\n")
		select {
		case arrived <- got.Form:
		default: // the second one
		}
	})
}

// answers reports that the fields are of an answer to r. Absent on both sides is
// no answer.
func answers(fields url.Values, r providers.AuthorizationRequest) bool {
	return r.State != "" && fields.Get("state") == r.State
}

// parseAnswer reads what was pasted: the address at which the browser ended, its
// query, the fields of a form, or @ and the name of a file with one of these.
func parseAnswer(line string, r providers.AuthorizationRequest) (url.Values, error) {
	text := strings.Trim(strings.TrimSpace(line), `"'<>`)
	if name, ok := strings.CutPrefix(text, "@"); ok {
		raw, err := os.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("the file cannot be read: %w", err)
		}
		if text = strings.Trim(strings.TrimSpace(string(raw)), `"'<>`); strings.HasPrefix(text, "@") {
			return nil, errors.New("the file names another file")
		}
	}
	if text == "" {
		return nil, errors.New("that line is empty; paste the address at which the browser ended")
	}
	address, query, has := strings.Cut(text, "?")
	query, fragment, _ := strings.Cut(query, "#")
	if !has {
		if strings.Contains(text, "://") {
			address, fragment, _ = strings.Cut(text, "#")
		} else {
			address, query = "", text
		}
	}
	fields, err := url.ParseQuery(query)
	switch {
	case err != nil:
		return nil, errors.New("that cannot be read as an address or as the fields of a form; was it cut?")
	case answers(fields, r):
		return fields, nil
	case strings.Contains(fragment, "state="):
		return nil, errors.New("the provider answered behind #, where no server sees it: does auth_params change response_type or response_mode?")
	case fields.Get("state") != "":
		return nil, errors.New("that is the answer to another sign-in, since its state is another; use the address above, once, and paste what comes of it")
	}
	return nil, notAnAnswer(address, fields, r)
}

// notAnAnswer says what else it was that came without state.
func notAnAnswer(address string, fields url.Values, r providers.AuthorizationRequest) error {
	landed, err := url.Parse(address)
	ours, err2 := url.Parse(r.RedirectURI)
	switch {
	case err != nil || err2 != nil || address == "":
		return errors.New("that has no state, so it is no answer; paste the whole of the address, from https:// to its end")
	case landed.Host == ours.Host && landed.Path != ours.Path:
		return fmt.Errorf("the site led on to %s, where the answer is gone: it runs another version or has other keys. Sign in again with the browser's developer tools open (Network, keep the log) and copy the address of the request to %s", landed.Path, ours.Path)
	case landed.Host != ours.Host:
		return fmt.Errorf("that is a page at %s; the answer is at %s, where the browser ends after consent", landed.Host, r.RedirectURI)
	case fields.Has("error"):
		return errors.New("the provider answered with an error and without state: " + fields.Get("error"))
	}
	return errors.New("the answer has no state: was the address cut, or does a proxy remove its query?")
}
