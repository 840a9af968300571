/** See that the browser can run the model; only then read the rest of the page. */

import { lacking } from "./support.ts";
import { notice } from "./view/notice.ts";

const said = notice(document.querySelector<HTMLElement>("#notice")!);
const place = document.querySelector<HTMLElement>("#page")!;
const about = document.querySelector<HTMLElement>("#offline")!;

const missing = lacking();
if (missing !== null) {
  said.lost(missing);
} else {
  // An older browser may not even read it.
  import("./begin.ts").then(
    ({ begin }) => begin(place, said, about),
    () => said.lost("The page's own files did not load; reload the page."),
  );
}
