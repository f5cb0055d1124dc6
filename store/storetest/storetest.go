// Package storetest gives each test a database of its own, on a real Postgres.
package storetest

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/gatepost/gatepost/store"
	"github.com/gatepost/gatepost/store/devpg"
)

var cluster struct {
	once   sync.Once
	server *devpg.Server
	url    string
	err    error
}

// Main runs a package's tests and stops the cluster after them. On Linux the
// cluster would stop with the process anyway, but leave its files.
func Main(m *testing.M) {
	code := m.Run()
	if cluster.server != nil {
		cluster.server.Stop()
	}
	os.Exit(code)
}

func start() {
	ctx := context.Background()
	if cluster.url = os.Getenv("GATEPOST_TEST_DATABASE_URL"); cluster.url == "" {
		if cluster.server, cluster.err = devpg.Start(ctx, devpg.Options{Ephemeral: true}); cluster.err != nil {
			return
		}
		cluster.url = cluster.server.URL()
	}
	name := template()
	if cluster.err = admin(ctx, "CREATE DATABASE "+name); cluster.err == nil {
		_, cluster.err = store.Migrate(ctx, in(name), "public")
	}
}

// template is named after the process, since several may share one server.
func template() string { return fmt.Sprintf("gatepost_template_%d", os.Getpid()) }

func admin(ctx context.Context, sql string) error {
	conn, err := pgx.Connect(ctx, cluster.url)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, sql)
	return err
}

func in(database string) string {
	u, err := url.Parse(cluster.url)
	if err != nil {
		return ""
	}
	u.Path = "/" + database
	return u.String()
}

// URL is the DSN of a fresh, migrated database that lives as long as t.
func URL(t testing.TB) string { return clone(t, template()) }

// EmptyURL is the DSN of a fresh database without the tables.
func EmptyURL(t testing.TB) string { return clone(t, "template1") }

func clone(t testing.TB, from string) string {
	t.Helper()
	cluster.once.Do(start)
	if cluster.err != nil {
		t.Fatalf("test database: %v", cluster.err)
	}
	ctx := context.Background()
	name := "gatepost_" + strings.ToLower(rand.Text())
	mu.Lock() // a template may have one copier at a time
	err := admin(ctx, "CREATE DATABASE "+name+" TEMPLATE "+from)
	mu.Unlock()
	if err != nil {
		t.Fatalf("test database: %v", err)
	}
	t.Cleanup(func() { admin(ctx, "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)") })
	return in(name)
}

var mu sync.Mutex

// Open gives a Store on a database of its own.
func Open(t testing.TB) *store.Store { return OpenWith(t, store.Options{}) }

// OpenWith is Open with further options; URL is filled in.
func OpenWith(t testing.TB, o store.Options) *store.Store {
	t.Helper()
	if o.URL == "" {
		o.URL = URL(t)
	}
	s, err := store.Open(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// SQL runs a statement as another program would, and gives the rows that it
// answers, each as its columns' text with a bar between; NULL is empty.
func SQL(t testing.TB, dsn, sql string, args ...any) (rows []string) {
	t.Helper()
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	// Simple, so that every value comes as text.
	answer, err := conn.Query(ctx, sql, append([]any{pgx.QueryExecModeSimpleProtocol}, args...)...)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Close()
	for answer.Next() {
		var columns []string
		for _, raw := range answer.RawValues() {
			columns = append(columns, string(raw))
		}
		rows = append(rows, strings.Join(columns, "|"))
	}
	if err := answer.Err(); err != nil {
		t.Fatal(err)
	}
	return rows
}
