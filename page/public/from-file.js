// A page that was opened from a folder gets no modules, and so has to say it here.
if (location.protocol === "file:") {
  document.getElementById("from-file").hidden = false;
  document.getElementById("notice").hidden = true;
}
