// Bans from a Go program: Couic's API over its Unix socket, with the standard library alone.
//
//	go run program.go ban CIDR SECONDS REASON | batch SECONDS < LIST | list | why ADDRESS | unban CIDR | follow
//
// The token is in a file: couicctl clients add -n example -g clientrw --policy drop --tag example --token-file FILE
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

const tag = "example"

var (
	socket    = env("COUIC_SOCKET", "/var/run/couic/couic.sock")
	tokenFile = env("COUIC_TOKEN_FILE", "/etc/example/couic.token")
	client    = &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		},
		ResponseHeaderTimeout: 45 * time.Second,
	}}
)

func env(name, otherwise string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return otherwise
}

// Refused is an error answer of the daemon.
type Refused struct {
	Status        int
	Code, Message string
}

func (r *Refused) Error() string {
	return fmt.Sprintf("refused (%d %s): %s", r.Status, r.Code, r.Message)
}

func isRefused(err error, status int) bool {
	var refused *Refused
	return errors.As(err, &refused) && refused.Status == status
}

// Entry is what a ban asks for.
type Entry struct {
	CIDR     string    `json:"cidr"`
	TTL      uint64    `json:"ttl"`
	Tag      string    `json:"tag"`
	Metadata *Metadata `json:"metadata,omitempty"`
}

// Metadata says why.
type Metadata struct {
	Kind   string `json:"kind"`
	Detail string `json:"detail"`
}

// call returns the response. It waits if the daemon has too much to do (503), or this client adds too much a minute (429).
func call(method, path string, body []byte, header http.Header) (*http.Response, error) {
	token, err := os.ReadFile(tokenFile) // each time: it may have been rotated
	if err != nil {
		return nil, err
	}
	for attempt := 0; ; attempt++ {
		request, err := http.NewRequest(method, "http://couic/v1"+path, bytes.NewReader(body))
		if err != nil {
			return nil, err
		}
		if header != nil {
			request.Header = header.Clone()
		}
		request.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
		response, err := client.Do(request)
		if err != nil {
			return nil, err
		}
		busy := response.StatusCode == http.StatusTooManyRequests || response.StatusCode == http.StatusServiceUnavailable
		if busy && attempt < 4 {
			response.Body.Close()
			seconds, err := strconv.Atoi(response.Header.Get("Retry-After"))
			if err != nil {
				seconds = 1
			}
			time.Sleep(time.Duration(seconds) * time.Second)
			continue
		}
		if response.StatusCode >= 400 {
			defer response.Body.Close()
			refused := &Refused{Status: response.StatusCode}
			_ = json.NewDecoder(response.Body).Decode(refused)
			return nil, refused
		}
		return response, nil
	}
}

// decode calls, and reads the answer.
func decode(method, path string, body []byte, kind string, answer any) error {
	response, err := call(method, path, body, http.Header{"Content-Type": {kind}})
	if err != nil {
		return err
	}
	defer response.Body.Close()
	return json.NewDecoder(response.Body).Decode(answer)
}

// ban bans a network for some time. One that is banned already (409) is no failure.
func ban(cidr string, seconds uint64, reason string) error {
	body, err := json.Marshal(Entry{cidr, seconds, tag, &Metadata{"example", reason}})
	if err != nil {
		return err
	}
	var added Entry
	err = decode("POST", "/drop", body, "application/json", &added)
	if isRefused(err, http.StatusConflict) {
		fmt.Println(cidr, "is there already")
		return nil
	}
	if err == nil {
		fmt.Println(added.CIDR, "is dropped")
	}
	return err
}

// batch bans or renews what standard input lists: one request for any number of networks.
func batch(seconds uint64) error {
	var body bytes.Buffer
	jobs := json.NewEncoder(&body) // a line each
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		if cidr := strings.TrimSpace(lines.Text()); cidr != "" {
			job := map[string]any{"action": "add", "entry": Entry{CIDR: cidr, TTL: seconds, Tag: tag}}
			if err := jobs.Encode(job); err != nil {
				return err
			}
		}
	}
	var outcome struct {
		Added, Updated, Failed uint64
		Failures               []struct{ CIDR, Message string }
	}
	if err := decode("POST", "/drop/batch", body.Bytes(), "application/x-ndjson", &outcome); err != nil {
		return err
	}
	fmt.Printf("%d added, %d updated, %d failed\n", outcome.Added, outcome.Updated, outcome.Failed)
	for _, failure := range outcome.Failures {
		fmt.Printf("%s: %s\n", failure.CIDR, failure.Message)
	}
	return lines.Err()
}

// list prints the rules of this program, each as it arrives.
func list() error {
	response, err := call("GET", "/drop?tag="+tag, nil, http.Header{"Accept": {"application/x-ndjson"}})
	if err != nil {
		return err
	}
	defer response.Body.Close()
	for entries := json.NewDecoder(response.Body); ; {
		var entry Entry
		if err := entries.Decode(&entry); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		fmt.Println(entry.CIDR)
	}
}

// why prints the verdict for an address, and the rule that decides.
func why(address string) error {
	var lookup struct {
		Verdict   string
		DecidedBy *struct{ Policy, CIDR string } `json:"decided_by"`
	}
	if err := decode("GET", "/lookup/"+address, nil, "", &lookup); err != nil {
		return err
	}
	if rule := lookup.DecidedBy; rule != nil {
		fmt.Printf("%s: %s %s\n", lookup.Verdict, rule.Policy, rule.CIDR)
	} else {
		fmt.Println(lookup.Verdict)
	}
	return nil
}

// unban releases this program's claim. Others may hold the rule, too.
func unban(cidr string) error {
	response, err := call("DELETE", "/drop/"+cidr+"?tag="+tag, nil, nil)
	if isRefused(err, http.StatusNotFound) {
		fmt.Println(cidr, "is not there")
		return nil
	}
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if held := response.Header.Get("Couic-Held-By"); held != "" {
		fmt.Println(cidr, "is still held:", held)
	} else {
		fmt.Println(cidr, "is released")
	}
	return nil
}

// follow prints changes as they happen, over restarts of the daemon.
func follow() error {
	header := http.Header{}
	for ; ; time.Sleep(time.Second) {
		response, err := call("GET", "/events?tag="+tag, nil, header)
		var refused *Refused
		if errors.As(err, &refused) {
			return err
		}
		if err != nil {
			continue
		}
		// The daemon says something every 15 s.
		silent := time.AfterFunc(45*time.Second, func() { response.Body.Close() })
		kind := ""
		for lines := bufio.NewScanner(response.Body); lines.Scan(); {
			silent.Reset(45 * time.Second)
			field, value, _ := strings.Cut(lines.Text(), ": ")
			switch {
			case field == "id":
				header.Set("Last-Event-ID", value)
			case field == "event":
				kind = value
			case field == "data" && kind == "gap":
				fmt.Println("some changes were missed: read the list again")
			case field == "data":
				var change struct{ Action, Policy, CIDR string }
				if err := json.Unmarshal([]byte(value), &change); err != nil {
					return err
				}
				fmt.Println(change.Action, change.Policy, change.CIDR)
			case field == "":
				kind = ""
			}
		}
		silent.Stop()
		response.Body.Close()
	}
}

func run(args []string) error {
	number := func(text string) uint64 {
		seconds, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(2)
		}
		return seconds
	}
	switch {
	case len(args) == 4 && args[0] == "ban":
		return ban(args[1], number(args[2]), args[3])
	case len(args) == 2 && args[0] == "batch":
		return batch(number(args[1]))
	case len(args) == 1 && args[0] == "list":
		return list()
	case len(args) == 2 && args[0] == "why":
		return why(args[1])
	case len(args) == 2 && args[0] == "unban":
		return unban(args[1])
	case len(args) == 1 && args[0] == "follow":
		return follow()
	}
	return errors.New("ban CIDR SECONDS REASON | batch SECONDS < LIST | list | why ADDRESS | unban CIDR | follow")
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
