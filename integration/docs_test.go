package integration

import (
	"context"
	"net/http"
	"net/url"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/latchkey-api/latchkey/integration/harness"
)

// references finds the URLs that a page, style sheet or script loads, by media type. One group of an expression matches.
var references = map[string]*regexp.Regexp{
	"text/html": regexp.MustCompile(`(?i)(?:src|href|action|poster|data)\s*=\s*["']([^"']+)["']|url\(\s*["']?([^"')]+)["']?\s*\)`),
	"text/css":  regexp.MustCompile(`(?i)url\(\s*["']?([^"')]+)["']?\s*\)|@import\s+["']([^"']+)["']`),
	"text/javascript": regexp.MustCompile(
		`\b(?:import|importScripts|new Worker|new SharedWorker)\(\s*["']([^"']+)["']|\bfrom\s*["']((?:\.|/|https?:)[^"']*)["']`),
}

// checkDocsReferences: the documentation loads everything from this service, and its Content-Security-Policy allows nothing
// else.
func checkDocsReferences(t *testing.T, tg *harness.Target) {
	page := tg.Do(t, harness.Call{Path: "/docs"})
	page.Is(t, http.StatusOK, "")
	checkPolicy(t, page.Header.Get("Content-Security-Policy"))

	home, err := url.Parse(tg.URL + "/docs")
	if err != nil {
		t.Fatal(err)
	}
	seen, queue := map[string]bool{}, []string{"/docs"}
	for len(queue) > 0 {
		path := queue[0]
		queue = queue[1:]
		if seen[path] {
			continue
		}
		seen[path] = true
		a := tg.Do(t, harness.Call{Path: path})
		a.Is(t, http.StatusOK, "")
		for _, reference := range referencesOf(a) {
			to, err := home.Parse(path)
			if err == nil {
				to, err = to.Parse(reference)
			}
			switch {
			case err != nil:
				t.Errorf("%s refers to %q: %v", path, reference, err)
			case to.Scheme == "data" || to.Scheme == "blob":
			case to.Host != home.Host:
				t.Errorf("%s refers to another host: %s", path, reference)
			default:
				queue = append(queue, strings.TrimPrefix(to.RequestURI(), strings.TrimSuffix(home.EscapedPath(), "/docs")))
			}
		}
	}
	// A page that loads nothing would pass all of the above.
	for _, suffix := range []string{".js", ".css"} {
		if !slices.ContainsFunc(keys(seen), func(path string) bool { return strings.Contains(path, suffix) }) {
			t.Errorf("/docs loads no %s: %q", suffix, keys(seen))
		}
	}
}

func keys(set map[string]bool) []string {
	list := []string{}
	for key := range set {
		list = append(list, key)
	}
	return list
}

// referencesOf are the URLs that the answer makes a browser load.
func referencesOf(a harness.Answer) []string {
	found := []string{}
	for media, expression := range references {
		if !strings.Contains(strings.Replace(a.Header.Get("Content-Type"), "application/javascript", "text/javascript", 1), media) {
			continue
		}
		for _, groups := range expression.FindAllStringSubmatch(a.Body, -1) {
			for _, reference := range groups[1:] {
				if reference != "" && !strings.HasPrefix(reference, "#") {
					found = append(found, reference)
				}
			}
		}
	}
	return found
}

// checkPolicy demands a Content-Security-Policy that allows this host only, and inline scripts only by their hash.
func checkPolicy(t *testing.T, policy string) {
	t.Helper()
	directives := map[string][]string{}
	for part := range strings.SplitSeq(policy, ";") {
		if words := strings.Fields(part); len(words) > 0 {
			directives[words[0]] = words[1:]
		}
	}
	for _, name := range []string{"script-src", "connect-src", "img-src", "style-src", "object-src", "frame-src"} {
		sources, ok := directives[name]
		if !ok {
			if sources, ok = directives["default-src"]; !ok {
				t.Errorf("Content-Security-Policy does not limit %s: %q", name, policy)
			}
		}
		for _, source := range sources {
			if source == "*" || strings.Contains(source, "//") || strings.HasSuffix(source, ":") && source != "data:" {
				t.Errorf("Content-Security-Policy: %s allows %s", name, source)
			}
			if name == "script-src" && (source == "'unsafe-inline'" || source == "'unsafe-eval'" || source == "data:") {
				t.Errorf("Content-Security-Policy: %s allows %s", name, source)
			}
		}
	}
	if _, ok := directives["frame-ancestors"]; !ok {
		t.Errorf("Content-Security-Policy does not say who may frame the page: %q", policy)
	}
}

// checkDocsInBrowser: a real browser shows every operation, and reports no error or warning.
func checkDocsInBrowser(t *testing.T, tg *harness.Target) {
	browser := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome"} {
		if path, err := exec.LookPath(name); err == nil && browser == "" {
			browser = path
		}
	}
	if browser == "" {
		harness.Unavailable(t, "no Chromium in PATH, /docs was not opened")
	}
	options := append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]),
		chromedp.ExecPath(browser), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("disable-dev-shm-usage", true), chromedp.Flag("proxy-server", "direct://"))
	ctx, cancel := chromedp.NewExecAllocator(t.Context(), options...)
	defer cancel()
	tab, cancel := chromedp.NewContext(ctx)
	defer cancel()
	// The browser ends with the context that starts it, so the timeout is set later.
	if err := chromedp.Run(tab); err != nil {
		t.Fatalf("the browser does not start: %v", err)
	}
	defer func() {
		// Cancel lets it close itself and remove its files; cancelling the context would kill it.
		closing, done := context.WithTimeout(tab, 10*time.Second)
		defer done()
		if err := chromedp.Cancel(closing); err != nil {
			t.Logf("the browser did not close: %v", err)
		}
	}()
	ctx, cancelTimeout := context.WithTimeout(tab, 30*time.Second)
	defer cancelTimeout()

	watch := &complaints{home: tg.URL}
	chromedp.ListenTarget(ctx, watch.listen)
	const blocks = `document.querySelectorAll('.opblock').length`
	operations := len(tg.OpenAPI(t).Operations)
	var shown int
	err := chromedp.Run(ctx,
		network.Enable(), runtime.Enable(), log.Enable(),
		chromedp.Navigate(tg.URL+"/docs"),
		chromedp.WaitVisible(".opblock", chromedp.ByQuery),
		chromedp.Poll(blocks+` >= `+strconv.Itoa(operations), nil, chromedp.WithPollingTimeout(20*time.Second)),
		chromedp.Evaluate(blocks, &shown),
	)
	if err != nil {
		t.Errorf("the page does not show its operations: %v", err)
	}
	if shown != operations {
		t.Errorf("the page shows %d operations, %d are documented", shown, operations)
	}
	for _, complaint := range watch.all() {
		t.Error(complaint)
	}
}

// complaints collects what a browser reports: requests to other hosts, failed loads, errors and warnings.
type complaints struct {
	home string
	mu   sync.Mutex
	list []string
}

func (c *complaints) listen(event any) {
	switch event := event.(type) {
	case *network.EventRequestWillBeSent:
		if to := event.Request.URL; !strings.HasPrefix(to, c.home+"/") && !strings.HasPrefix(to, "data:") && !strings.HasPrefix(to, "blob:") {
			c.add("the page asks another host: " + to)
		}
	case *network.EventLoadingFailed:
		c.add("something was not loaded: " + event.ErrorText + " " + string(event.BlockedReason))
	case *runtime.EventConsoleAPICalled:
		if event.Type == runtime.APITypeError || event.Type == runtime.APITypeWarning {
			text := "the console says"
			for _, arg := range event.Args {
				text += " " + string(arg.Value) + arg.Description
			}
			c.add(text)
		}
	case *runtime.EventExceptionThrown:
		c.add("a script failed: " + event.ExceptionDetails.Error())
	case *log.EventEntryAdded:
		if event.Entry.Level == log.LevelError || event.Entry.Level == log.LevelWarning {
			c.add("the browser says: " + event.Entry.Text + " " + event.Entry.URL)
		}
	}
}

func (c *complaints) add(text string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.list = append(c.list, text)
}

func (c *complaints) all() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.list)
}
