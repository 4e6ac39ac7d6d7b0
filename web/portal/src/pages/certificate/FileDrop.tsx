// SPDX-License-Identifier: Apache-2.0
// A certificate file, dropped or chosen.
import { Button, makeStyles, mergeClasses, Text, tokens } from "@fluentui/react-components";
import { DocumentRegular } from "@fluentui/react-icons";
import { useRef, useState } from "react";

const FILE_MAX = 2 * 1024 * 1024;

const useDrop = makeStyles({
  drop: { border: `2px dashed ${tokens.colorNeutralStroke1}`, borderRadius: tokens.borderRadiusMedium, padding: "20px", textAlign: "center", display: "flex", flexDirection: "column", gap: "8px", alignItems: "center" },
  over: { borderTopColor: tokens.colorBrandStroke1, borderRightColor: tokens.colorBrandStroke1, borderBottomColor: tokens.colorBrandStroke1, borderLeftColor: tokens.colorBrandStroke1, backgroundColor: tokens.colorBrandBackground2 },
});

export interface File64 { name: string; data: string; size: number }

const toBase64 = (file: File): Promise<string> =>
  new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(String(reader.result).replace(/^[^,]*,/, ""));
    reader.onerror = () => reject(reader.error ?? new Error("The file cannot be read."));
    reader.readAsDataURL(file);
  });

export function FileDrop(props: { file: File64 | null; onFile: (file: File64 | null, problem?: string) => void }): JSX.Element {
  const s = useDrop();
  const input = useRef<HTMLInputElement>(null);
  const [over, setOver] = useState(false);
  const take = (file: File | undefined): void => {
    if (!file) return;
    if (file.size > FILE_MAX) props.onFile(null, `${file.name} has ${Math.round(file.size / 1024)} KB; a certificate file has at most ${FILE_MAX / 1024} KB.`);
    else void toBase64(file).then((data) => props.onFile({ name: file.name, data, size: file.size }), (e: unknown) => props.onFile(null, String(e)));
  };
  return (
    <div className={mergeClasses(s.drop, over && s.over)}
      onDragOver={(event) => { event.preventDefault(); setOver(true); }} onDragLeave={() => setOver(false)}
      onDrop={(event) => { event.preventDefault(); setOver(false); take(event.dataTransfer.files[0]); }}>
      <DocumentRegular fontSize={28} aria-hidden />
      <Text>{props.file ? `${props.file.name} (${Math.max(1, Math.round(props.file.size / 1024))} KB)` : "Drop a .pfx file here"}</Text>
      <input ref={input} type="file" accept=".pfx,.p12,.pem,application/x-pkcs12" hidden aria-label="Certificate file" onChange={(event) => { take(event.target.files?.[0]); event.target.value = ""; }} />
      <Button onClick={() => input.current?.click()}>{props.file ? "Choose another file" : "Choose a file"}</Button>
    </div>
  );
}
