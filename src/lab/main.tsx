/**
 * The page: a run's form, its figures, and the life of one store.
 *
 * Interface: build/lab/index.html loads this.
 * Invariants: [page-1] nothing is fetched but the page's own files.
 * Locks: none.
 * Why not a framework with a server: the machine runs in the reader's browser, and the page is files.
 */
import { render } from "preact";
import { VERSION } from "../sim/run.js";
import { RunForm } from "./form.js";
import { Figures } from "./figures.js";
import { FailurePanel } from "./status.js";
import { kernelHash, loadKernel } from "./state.js";
import { StoreLifeView } from "./store-life-view.js";

function Page() {
  return (
    <>
      <header class="masthead">
        <h1>Faultline</h1>
        <p>
          An emulated machine in your browser: real page tables, an MMU, a page cache and <code>mmap_sem</code>. It runs a workload in
          simulated time and says what each page fault cost.
        </p>
        <nav aria-label="On this page">
          <a href="#run-heading" onClick={jump}>
            Run
          </a>
          <a href="#store-heading" onClick={jump}>
            The life of one store
          </a>
        </nav>
      </header>
      <main>
        <section class="lab" aria-labelledby="run-heading">
          <h2 id="run-heading" tabIndex={-1} class="visually-hidden">
            Run a workload
          </h2>
          <RunForm />
          <div class="output">
            <FailurePanel />
            <Figures />
          </div>
        </section>
        <StoreLifeView />
      </main>
      <footer>
        <p>
          Faultline {VERSION}, kernel <code>{kernelHash.value === "" ? "loading" : kernelHash.value.slice(0, 12)}</code>. Figures are
          simulated time unless they say host. The same run description gives the same <code>state_sha256</code> here and in Node.
        </p>
      </footer>
    </>
  );
}

/** Goes to a heading and leaves the address alone: what is after its # is the run. */
function jump(event: MouseEvent): void {
  event.preventDefault();
  const target = document.getElementById((event.currentTarget as HTMLAnchorElement).hash.slice(1));
  target?.scrollIntoView();
  target?.focus({ preventScroll: true });
}

const root = document.getElementById("app");
if (root) render(<Page />, root);
void loadKernel();
