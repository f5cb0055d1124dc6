package mail

import "fmt"

// A ConfigError is an operator's mistake; Key is what it is about: from, host,
// tls, templates, ca_file.
type ConfigError struct{ Key, Text string }

func (e *ConfigError) Error() string { return "mail." + e.Key + ": " + e.Text }

func wrong(key, format string, args ...any) error {
	return &ConfigError{key, fmt.Sprintf(format, args...)}
}
